"""`mpirun … nvbandwidth`: looks at what each worker really has, and says what a rack without GPUs cannot measure."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from nvdra.sim.kube.runtime.devnode import CharDevice, look_at
from nvdra.sim.kube.runtime.rootfs import inside
from nvdra.sim.kube.runtime.running import Say, Signals

CHANNEL: Final = "/dev/nvidia-caps-imex-channels/channel0"
RUN_SECONDS: Final = 2.0
_HOSTFILE: Final = "OMPI_MCA_orte_default_hostfile"


@frozen
class ImexView:
    """The IMEX daemon of a node: which IMEX domain it serves ("" for none), whether it is ready, what it says."""

    domain: str = ""
    ready: bool = False
    message: str = "no IMEX daemon runs there"


@frozen
class Worker:
    """A worker pod as mpirun finds it by ssh."""

    pod: str
    node: str
    rootfs: Path
    imex: ImexView


class World(Protocol):
    """What a container could find out over the network."""

    def worker(self, namespace: str, pod: str) -> Worker | None:
        """The running pod of that name, None when there is none."""
        ...


@frozen
class Order:
    """What the command line asks for."""

    processes: int
    per_node: int
    program: tuple[str, ...]


class MpirunError(Exception):
    """The command line or the hostfile cannot be used."""


def order_of(argv: Sequence[str]) -> Order:
    """Read `mpirun`'s arguments as far as the guide uses them."""
    processes, per_node, at = 0, 0, 1
    with_value = {"--bind-to", "--map-by", "-np", "-n", "-x", "--hostfile", "-mca", "--mca"}
    while at < len(argv) and argv[at].startswith("-"):
        option, value = argv[at], argv[at + 1] if at + 1 < len(argv) else ""
        if option in {"-np", "-n"}:
            processes = int(value)
        if option == "--map-by" and value.startswith("ppr:"):
            per_node = int(value.split(":")[1])
        at += (3 if option.endswith("mca") else 2) if option in with_value else 1
    if at >= len(argv):
        raise MpirunError("mpirun: no program was named")
    return Order(processes, per_node, tuple(argv[at:]))


def hosts_of(text: str) -> dict[str, int]:
    """Pod name to slots, from the operator's hostfile."""
    hosts = {}
    for line in text.splitlines():
        words = line.split()
        if words:
            slots = next((int(word.removeprefix("slots=")) for word in words if word.startswith("slots=")), 1)
            hosts[words[0]] = slots
    return hosts


class Mpirun:
    """One launcher."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, say: Say, world: World) -> None:
        self._argv = argv
        self._hostfile = inside(rootfs, env.get(_HOSTFILE, "/etc/mpi/hostfile"))
        self._say = say
        self._world = world

    async def play(self, signals: Signals) -> int:
        """Look at all workers, print, and be done."""
        await asyncio.sleep(0)
        try:
            order = order_of(self._argv)
            hosts = hosts_of(self._hostfile.read_text())
            workers = self._workers(hosts)
            ranks = ranks_of(order, list(zip(workers, hosts.values(), strict=True)))
        except (MpirunError, OSError, ValueError) as error:
            self._say(f"mpirun (nvdra sim): {error}")
            return 1
        self._bindings(ranks)
        faults = faults_of(list({worker.pod: worker for worker, _ in ranks}.values()))
        if faults:
            for fault in faults:
                self._say(f"nvbandwidth (nvdra sim): {fault}")
            return 1
        self._table(order, ranks)
        return await _take_your_time(signals)

    def _workers(self, hosts: Mapping[str, int]) -> list[Worker]:
        found = []
        for host in hosts:
            pod, _, rest = host.partition(".")
            worker = self._world.worker(rest.split(".")[1] if "." in rest else "default", pod)
            if worker is None:
                raise MpirunError(f"ssh: could not reach {host}: no such pod runs")
            self._say(f"Warning: Permanently added '[{host}]:2222' (nvdra sim: nothing was sent) to known hosts.")
            found.append(worker)
        return found

    def _bindings(self, ranks: Sequence[tuple[Worker, int]]) -> None:
        for rank, (worker, gpu) in enumerate(ranks):
            device = look_at(inside(worker.rootfs, CHANNEL))
            self._say(
                f"[{worker.pod}] MCW rank {rank} bound to node {worker.node}, GPU {gpu}, channel0 {_named(device)},"
                f" IMEX domain {worker.imex.domain or 'none'}"
            )

    def _table(self, order: Order, ranks: Sequence[tuple[Worker, int]]) -> None:
        for rank, (worker, gpu) in enumerate(ranks):
            self._say(f"Process {rank} ({worker.pod}): device {gpu}")
        self._say("")
        self._say(f"Not run: {' '.join(order.program)}")
        self._say("No bandwidth was measured: this rack has no GPUs. What was checked for every pair of ranks:")
        self._say("channel0 is in both containers, and both nodes' IMEX daemons are ready in one IMEX domain.")
        self._say("GPU(row) -> GPU(column)")
        self._say("    " + "".join(f"{rank:>5}" for rank in range(len(ranks))))
        for row in range(len(ranks)):
            cells = ("N/A" if row == column else "ok" for column in range(len(ranks)))
            self._say(f"{row:<4}" + "".join(f"{cell:>5}" for cell in cells))


async def _take_your_time(signals: Signals) -> int:
    """A real run takes seconds: people see the workers beside it, and MPIJobs delete them when it ends."""
    try:
        async with asyncio.timeout(RUN_SECONDS):
            await signals.arrival()
    except TimeoutError:
        return 0
    return 128 + (signals.take() or 0)


def ranks_of(order: Order, workers: Sequence[tuple[Worker, int]]) -> list[tuple[Worker, int]]:
    """Which process runs where: node by node, `ppr` or the hostfile's slots on each."""
    ranks = [(worker, gpu) for worker, slots in workers for gpu in range(min(slots, order.per_node or slots))]
    wanted = order.processes or len(ranks)
    if wanted > len(ranks):
        raise MpirunError(f"there are not enough slots available: {wanted} processes asked for, {len(ranks)} slots")
    return ranks[:wanted]


def faults_of(workers: Sequence[Worker]) -> list[str]:
    """What keeps these workers from reaching each other's memory."""
    faults = [
        f"{worker.pod} on {worker.node}: {CHANNEL} is missing"
        for worker in workers
        if look_at(inside(worker.rootfs, CHANNEL)) is None
    ]
    faults += [
        f"{worker.pod} on {worker.node}: its IMEX daemon is not ready: {worker.imex.message}"
        for worker in workers
        if not worker.imex.ready
    ]
    domains = sorted({worker.imex.domain for worker in workers if worker.imex.ready})
    if len(domains) > 1:
        faults.append(f"the workers are in {len(domains)} IMEX domains, not one: {', '.join(domains)}")
    return faults


def _named(device: CharDevice | None) -> str:
    if device is None:
        return "missing"
    return f"{device} (a plain file stands for it)" if device.stands_in else str(device)
