"""Sandboxes and containers of one node. They live here, not in the kubelet, and so outlive its restart."""

import asyncio
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from nvdra.errors import NvdraError
from nvdra.sim.kube.runtime import cdi, rootfs
from nvdra.sim.kube.runtime.commands import Commands
from nvdra.sim.kube.runtime.environment import merged
from nvdra.sim.kube.runtime.logs import Log
from nvdra.sim.kube.runtime.running import Running, Say
from nvdra.sim.kube.shapes import Json, Key, key, name, namespace, now, uid

_LONGEST_MESSAGE: Final = 4096


@frozen
class Ended:
    """How a container ended."""

    code: int
    reason: str
    message: str
    at: str


@frozen
class Wanted:
    """All that is needed to create a container."""

    spec: Json
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cdi_ids: tuple[str, ...] = ()
    mounts: tuple[rootfs.Mount, ...] = ()


@define(eq=False)
class Container:
    """One start of a container."""

    name: str
    attempt: int
    rootfs: Path
    env: Mapping[str, str]
    log: Log
    running: Running
    started_at: str = field(factory=now)
    started: float = field(factory=time.monotonic)
    ended: Ended | None = None
    over: asyncio.Event = field(factory=asyncio.Event)
    started_up: bool = False
    ready: bool = False

    @property
    def id(self) -> str:
        """As containerStatuses[].containerID shows it."""
        return f"nvdra-sim://{self.rootfs.parent.parent.name}/{self.name}/{self.attempt}"

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.ended is None:
            self.running.signal(number)

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        if self.ended is None:
            self.signal(signal.SIGTERM)
            await _within(self.over, grace)
        if self.ended is None:
            self.signal(signal.SIGKILL)
            await self.over.wait()


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


@define(eq=False)
class Sandbox:
    """A pod's network address and its containers."""

    pod: Key
    uid: str
    ip: str
    folder: Path
    containers: dict[str, Container] = field(factory=dict)
    previous: dict[str, Container] = field(factory=dict)
    restarts: dict[str, int] = field(factory=dict)
    starting: "set[asyncio.Task[Container]]" = field(factory=set)

    async def settled(self) -> None:
        """Whatever was being started has started, or failed to."""
        await asyncio.gather(*self.starting, return_exceptions=True)


class Loopback:
    """Pod addresses 127.<octet>.x.y, each given once until it is given back."""

    def __init__(self, octet: int = 77) -> None:
        if not 1 <= octet <= 254:
            raise ValueError(f"octet {octet} is not in 1…254 (127.0.x.y is for everybody)")
        self._octet = octet
        self._next = 0
        self._used: set[str] = set()

    def take(self) -> str:
        """An address that no other pod has."""
        for _ in range(254 * 254):
            self._next = self._next % (254 * 254) + 1
            third, fourth = divmod(self._next - 1, 254)
            address = f"127.{self._octet}.{third}.{fourth + 1}"
            if address not in self._used:
                self._used.add(address)
                return address
        raise OSError(f"no address is left in 127.{self._octet}.0.0/16; use another octet")

    def give_back(self, address: str) -> None:
        """Nobody uses it any more."""
        self._used.discard(address)


class Runtime:
    """The container runtime of one node. `exited` is called with the pod's key whenever a container has ended."""

    def __init__(self, node_root: Path, commands: Commands, addresses: Loopback) -> None:
        self.node_root = node_root
        self.sandboxes: dict[str, Sandbox] = {}
        self.exited: Callable[[Key], None] = lambda _: None
        self.cdi_folders: Sequence[Path] = (node_root / "etc/cdi", node_root / "var/run/cdi")
        self._commands = commands
        self._addresses = addresses
        self._watches: set[asyncio.Task[None]] = set()

    def sandbox(self, pod: Json) -> Sandbox:
        """The pod's sandbox; made when there is none."""
        if uid(pod) not in self.sandboxes:
            folder = self.node_root / "containers" / uid(pod)
            folder.mkdir(parents=True, exist_ok=True)
            self.sandboxes[uid(pod)] = Sandbox(key(pod), uid(pod), self._addresses.take(), folder)
        return self.sandboxes[uid(pod)]

    async def start(self, pod: Json, wanted: Wanted) -> Container:
        """Create and start a container: CannotCreateError or UnresolvableDevicesError when that cannot be.

        Whoever stops waiting for it does not stop it half-way: it is in the sandbox then, to be stopped.
        """
        sandbox = self.sandbox(pod)
        task = asyncio.ensure_future(self._start(pod, sandbox, wanted))
        sandbox.starting.add(task)
        task.add_done_callback(sandbox.starting.discard)
        return await asyncio.shield(task)

    async def _start(self, pod: Json, sandbox: Sandbox, wanted: Wanted) -> Container:
        injection = cdi.resolve(self.cdi_folders, wanted.cdi_ids)
        container_name = wanted.spec["name"]
        root = sandbox.folder / container_name / "rootfs"
        host_name = pod["spec"].get("hostname") or name(pod)
        sub = pod["spec"].get("subdomain")
        full = f"{host_name}.{sub}.{namespace(pod)}.svc.cluster.local" if sub else ""
        rootfs.prepare(root, sandbox.ip, host_name, full)
        for mount in wanted.mounts:
            rootfs.mount(root, mount)
        rootfs.inject(root, self.node_root, injection)
        attempt = sandbox.restarts.get(container_name, -1) + 1
        folder = f"{namespace(pod)}_{name(pod)}_{uid(pod)}"
        log = Log(self.node_root / "var/log/pods" / folder / container_name / f"{attempt}.log")
        env = merged(wanted.env, injection.env)
        try:
            running = await self._commands.start(wanted.argv, env, root, log.say)
        except (OSError, NvdraError) as error:
            log.close()
            raise rootfs.CannotCreateError(f"failed to start {wanted.argv[:1]}: {error}") from error
        container = Container(container_name, attempt, root, env, log, running)
        self._record(sandbox, container, wanted.spec)
        return container

    async def execute(self, container: Container, argv: Sequence[str], limit: float | None) -> tuple[int, str]:
        """Run a command in a running container; exit code and output. TimeoutError when over the `limit`."""
        said: list[str] = []
        code = await asyncio.wait_for(self.run(container, argv, said.append), limit)
        return code, "\n".join(said)

    async def run(self, container: Container, argv: Sequence[str], say: Say) -> int:
        """Run a command in a running container, saying its lines as they come; whoever stops waiting ends it."""
        running = await self._commands.once(argv, container.env, container.rootfs, say)
        try:
            return await running.wait()
        finally:
            running.signal(signal.SIGKILL)

    async def remove(self, pod_uid: str, grace: float = 0) -> None:
        """Stop what still runs there and forget the sandbox; logs and rootfs of the pod go too."""
        sandbox = self.sandboxes.get(pod_uid)
        if sandbox is None:
            return
        await sandbox.settled()
        await asyncio.gather(*(container.stop(grace) for container in sandbox.containers.values()))
        self.sandboxes.pop(pod_uid, None)
        self._addresses.give_back(sandbox.ip)
        await asyncio.to_thread(self._sweep, sandbox)

    async def crash(self) -> None:
        """The node's power is gone: everything is killed, and nobody is told."""
        self.exited = lambda _: None
        for pod_uid in list(self.sandboxes):
            sandbox = self.sandboxes.pop(pod_uid)
            await sandbox.settled()
            for container in sandbox.containers.values():
                container.signal(signal.SIGKILL)
            self._addresses.give_back(sandbox.ip)
        if self._watches:
            await asyncio.wait(self._watches, timeout=10)

    def log_path(self, pod: Key, container: str, *, previous: bool) -> tuple[Path, Callable[[], bool]] | None:
        """Where the log of a container is and whether it goes on; None when there is none."""
        sandbox = next((one for one in self.sandboxes.values() if one.pod == pod), None)
        found = (sandbox.previous if previous else sandbox.containers).get(container) if sandbox else None
        return (found.log.path, lambda: found.ended is None) if found else None

    def _record(self, sandbox: Sandbox, container: Container, spec: Json) -> None:
        old = sandbox.containers.get(container.name)
        if old is not None:
            sandbox.previous[container.name] = old
        sandbox.restarts[container.name] = container.attempt
        sandbox.containers[container.name] = container
        watch = asyncio.ensure_future(self._follow(sandbox, container, spec))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def _follow(self, sandbox: Sandbox, container: Container, spec: Json) -> None:
        code = await container.running.wait()
        container.log.close()
        message = _last_words(container, spec, code)
        container.ended = Ended(code, "Completed" if code == 0 else "Error", message, now())
        container.over.set()
        self.exited(sandbox.pod)

    def _sweep(self, sandbox: Sandbox) -> None:
        shutil.rmtree(sandbox.folder, ignore_errors=True)
        where, pod = sandbox.pod
        shutil.rmtree(self.node_root / "var/log/pods" / f"{where}_{pod}_{sandbox.uid}", ignore_errors=True)


def _last_words(container: Container, spec: Json, code: int) -> str:
    """The termination message: from its file, or from the log's end when the spec says so."""
    path = rootfs.inside(container.rootfs, spec.get("terminationMessagePath") or "/dev/termination-log")
    try:
        message = path.read_text(errors="replace")[:_LONGEST_MESSAGE]
    except OSError:
        message = ""
    if message or code == 0 or spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return message
    return container.log.tail()
