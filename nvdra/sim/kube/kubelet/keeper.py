"""The life of one container of a pod: started, probed, started again with back-off, until it is over for good."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field, frozen

from nvdra.errors import Again
from nvdra.sim.kube.kubelet.probes import Prober, Target
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.kubelet.status import View
from nvdra.sim.kube.kubelet.volumes import Material
from nvdra.sim.kube.runtime.cdi import UnresolvableDevicesError
from nvdra.sim.kube.runtime.containers import Container, Runtime, Sandbox, Wanted
from nvdra.sim.kube.runtime.environment import ConfigMissingError, Surroundings, argv_of, environment
from nvdra.sim.kube.runtime.rootfs import CannotCreateError
from nvdra.sim.kube.shapes import Json, name, namespace

HOST_IP: Final = "127.0.0.1"
Say = Callable[..., Awaitable[None]]
"""An Event about a container: say(container name, reason, message, warning=…)."""


@frozen
class Means:
    """What a keeper works with."""

    runtime: Runtime
    settings: Settings
    cdi_ids: Callable[[Json, Json], tuple[str, ...]]
    say: Say
    changed: Callable[[], None]


@define(eq=False)
class Keeper:
    """Keeps one container as its spec and the pod's restart policy want it."""

    pod: Callable[[], Json]
    spec: Json
    policy: str
    material: Material
    means: Means
    _waiting: tuple[str, str] | None = field(default=("ContainerCreating", ""), init=False)
    _failures: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def sandbox(self) -> Sandbox:
        """The pod's sandbox."""
        return self.means.runtime.sandbox(self.pod())

    def view(self) -> View:
        """What the pod's status needs to know."""
        current = self.sandbox.containers.get(self.name)
        return View(self.spec, current, self.sandbox.previous.get(self.name), self._waiting)

    async def run(self) -> int:
        """Until it is over for good; its last exit code."""
        while True:
            container = self.sandbox.containers.get(self.name) or await self._create()
            self._set(None)
            await self._watch(container)
            ended = container.ended
            if ended is None:
                raise RuntimeError(f"container {self.name} of {name(self.pod())} is over but has not ended")
            if self.policy == "Never" or (self.policy == "OnFailure" and ended.code == 0):
                return ended.code
            await self._back_off(container)
            self._set(("ContainerCreating", ""))
            await self._create()

    async def _watch(self, container: Container) -> None:
        """Probe it until it has ended, or kill it because a probe says so."""
        if container.ended is not None:
            return
        ports = {p["name"]: p["containerPort"] for p in self.spec.get("ports") or () if p.get("name")}
        target = Target(self.means.runtime, container, self.sandbox.ip, ports)
        prober = Prober(self.spec, target, self.means.changed, self._warn)
        probing = asyncio.ensure_future(prober.run())
        over = asyncio.ensure_future(container.over.wait())
        try:
            await asyncio.wait([probing, over], return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                await self._kill(container, probing.result())
        finally:
            for task in (probing, over):
                task.cancel()
            await asyncio.gather(probing, over, return_exceptions=True)
        self.means.changed()

    async def _kill(self, container: Container, probe: str) -> None:
        text = f"Container {self.name} failed {probe} probe, will be restarted"
        await self.means.say(self.name, "Killing", text, warning=False)
        await container.stop(self._grace())

    def _grace(self) -> float:
        grace = self.pod()["spec"].get("terminationGracePeriodSeconds")
        return 30 if grace is None else float(grace)

    async def _back_off(self, container: Container) -> None:
        """The first restart comes at once, the next ones ever later."""
        long_lived = asyncio.get_running_loop().time() - container.started > self._longest() * 2
        self._failures = 0 if long_lived else self._failures
        delay = self._delay()
        if delay:
            pod = self.pod()
            where = f"{name(pod)}_{namespace(pod)}({pod['metadata']['uid']})"
            text = f"Back-off restarting failed container {self.name} in pod {where}"
            self._set(("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={self.name} pod={where}"))
            await self.means.say(self.name, "BackOff", text, warning=True)
            await asyncio.sleep(delay)
        self._failures += 1

    def _longest(self) -> float:
        return self.means.settings.last_back_off

    def _delay(self) -> float:
        if self._failures == 0:
            return 0
        return min(self.means.settings.first_back_off * 2.0 ** (self._failures - 1), self._longest())

    async def _create(self) -> Container:
        """Create and start it; tried again with back-off until it works."""
        tries = 0
        while True:
            trouble = await self._pulled()
            if not trouble:
                try:
                    return await self._started()
                except (CannotCreateError, UnresolvableDevicesError) as error:
                    trouble = ("CreateContainerError", str(error))
                except (ConfigMissingError, Again) as error:
                    trouble = ("CreateContainerConfigError", str(error))
                await self._warn("Failed", f"Error: {trouble[1]}")
            self._set(trouble)
            delay = min(self.means.settings.first_back_off * 2.0**tries, self._longest())
            await asyncio.sleep(delay)
            tries += 1

    async def _pulled(self) -> tuple[str, str] | None:
        image = self.spec.get("image", "")
        if image not in self.means.settings.missing_images:
            await self.means.say(self.name, "Pulled", f'Container image "{image}" already present on machine')
            return None
        if self._waiting and self._waiting[0] in {"ErrImagePull", "ImagePullBackOff"}:
            await self.means.say(self.name, "BackOff", f'Back-off pulling image "{image}"', warning=False)
            return ("ImagePullBackOff", f'Back-off pulling image "{image}"')
        await self._warn("Failed", f'Failed to pull image "{image}": not found')
        return ("ErrImagePull", f'failed to pull image "{image}": not found')

    async def _started(self) -> Container:
        pod = self.pod()
        await self.material.fetch()
        around = Surroundings(self.sandbox.ip, HOST_IP, self.material.lookup)
        env = {**self.material.env_from(self.spec), **environment(pod, self.spec, around)}
        wanted = Wanted(
            spec=self.spec,
            argv=tuple(argv_of(self.spec, env)),
            env=env,
            cdi_ids=self.means.cdi_ids(pod, self.spec),
            mounts=self.material.mounts(self.spec),
        )
        container = await self.means.runtime.start(pod, wanted)
        await self.means.say(self.name, "Created", f"Created container: {self.name}")
        await self.means.say(self.name, "Started", f"Started container {self.name}")
        await self._hooked(container)
        return container

    async def _hooked(self, container: Container) -> None:
        """The hook after the start: the container counts as running only afterwards, and is killed when it fails."""
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook is None:
            return
        if "exec" not in hook:
            raise CannotCreateError(
                f"the rack's kubelet knows postStart hooks of kind exec only, not {', '.join(hook)}"
            )
        running = asyncio.ensure_future(self.means.runtime.execute(container, hook["exec"]["command"], None))
        over = asyncio.ensure_future(container.over.wait())
        try:
            await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED)
            code, output = running.result() if running.done() else (137, "the container has ended")
        finally:
            for task in (running, over):
                task.cancel()
            await asyncio.gather(running, over, return_exceptions=True)
        if code != 0:
            await self._warn("FailedPostStartHook", f"PostStartHook failed: exit code {code}: {output}")
            await container.stop(self._grace())

    async def _warn(self, reason: str, message: str) -> None:
        await self.means.say(self.name, reason, message, warning=True)

    def _set(self, waiting: tuple[str, str] | None) -> None:
        self._waiting = waiting
        self.means.changed()
