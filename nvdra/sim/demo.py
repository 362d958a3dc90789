"""`nvdra sim demo`: the user guide's two examples as they stand, then 18 nodes in two cliques and one without."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import yaml
from attrs import define, field

from nvdra.api import kinds, names
from nvdra.api.kind import Kind
from nvdra.errors import NotFound, NvdraError
from nvdra.ports import Json, Listing
from nvdra.sim import manifests, tables
from nvdra.sim.instances import launcher
from nvdra.sim.kube.kinds import MPI_JOBS
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.stage import Stage
from nvdra.sim.steps import StepHandler, StepReader
from nvdra.sim.topology import Topology

_KINDS: dict[str, Kind[Json]] = {
    "ComputeDomain": Kind(dict, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP),
    "Pod": Kind(dict, "Pod", "pods"),
    "MPIJob": MPI_JOBS,
}
_DRIVER_PODS = f"/api/v1/namespaces/{names.DRIVER_NAMESPACE}/pods"
_DAEMON_PODS = f"{_DRIVER_PODS}?labelSelector={names.DOMAIN_LABEL.replace('/', '%2F')}"
_DOMAINS = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/default/computedomains"
_PODS = "/api/v1/namespaces/default/pods"
_LABELLED = f"/api/v1/nodes?labelSelector={names.DOMAIN_LABEL.replace('/', '%2F')}"


async def run(*, live: bool, keep_going: bool = False) -> bool:
    """Play all of it; whether everything was as it should be."""
    stage = Stage(live, keep_going)
    try:
        stage.title("A rack of two nodes with four GPUs each; every process of the driver is real")
        async with Rack(RackSettings(Topology(nodes=2))) as rack:
            show = Show(rack, stage)
            await show.installed(2)
            await show.channel_injection()
            await show.bandwidth()
        stage.title("18 nodes in two cliques, and one node without a fabric, in one ComputeDomain")
        topology = Topology(nodes=18, cliques=2, without_fabric=1)
        async with Rack(RackSettings(topology, launcher=launcher)) as rack:
            show = Show(rack, stage)
            engine = logging.getLogger("nvdra.engine")
            engine.addHandler(StepHandler(show.reader))
            engine.setLevel(logging.INFO)
            engine.propagate = False
            await show.three_answers(topology)
    except NvdraError as error:
        stage.say(f"✗ {error}")
        return False
    stage.title(f"done in {time.monotonic() - stage.began:.0f} s")
    return not stage.failed


@define
class Show:
    """One rack and what is shown on it."""

    rack: Rack
    stage: Stage
    reader: StepReader = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = StepReader(self.rack.root / "n")

    async def installed(self, plugins: int) -> None:
        """The guide's "Verify installation"."""

        async def ready() -> bool:
            slices = await self.rack.cluster.list(kinds.RESOURCE_SLICES)
            return len(slices.items) >= plugins and await self._running(names.DRIVER_NAMESPACE) >= plugins + 1

        await self.stage.until("the driver's pods run and publish their devices", ready, self.reader)
        await self._table(f"kubectl get pod -n {names.DRIVER_NAMESPACE}", _DRIVER_PODS)
        nodes = (await self.rack.cluster.list(kinds.NODES)).items
        rows = [
            f"{n.metadata.name:<18} {names.GPU_CLIQUE_LABEL}  {n.metadata.labels[names.GPU_CLIQUE_LABEL]}"
            for n in nodes
            if names.GPU_CLIQUE_LABEL in n.metadata.labels
        ]
        self.stage.command("kubectl get nodes -o json | jq …   # clique ids", "\n".join(rows))

    async def channel_injection(self) -> None:
        """The guide's first example."""
        self.stage.title("The guide's imex-channel-injection")
        manifest = manifests.example("imex-channel-injection")
        await self._apply(manifest)
        await self.stage.until(
            "pod/imex-channel-injection is Running", self._runs("imex-channel-injection"), self.reader
        )
        await self._table("kubectl get pods", _PODS)
        log = await self._log("default", "imex-channel-injection", "ctr")
        self.stage.command("kubectl logs imex-channel-injection", log)
        self.stage.check("the container sees /dev/nvidia-caps-imex-channels/channel0", _channel_shown(log))
        await self._table(f"kubectl get pods -n {names.DRIVER_NAMESPACE} -l {names.DOMAIN_LABEL}", _DAEMON_PODS)
        self.stage.command(
            f"kubectl logs -n {names.DRIVER_NAMESPACE} -l {names.DOMAIN_LABEL} --tail=-1", await self._daemon_logs()
        )
        await self._table("kubectl get computedomain", _DOMAINS)
        await self._delete(manifest)

    async def bandwidth(self) -> None:
        """The guide's second example."""
        self.stage.title("The guide's nvbandwidth test, an MPIJob over both nodes")
        manifest = manifests.example("nvbandwidth-test-job")
        await self._apply(manifest)

        async def finished() -> bool:
            pods = (
                await self.rack.cluster.list(kinds.PODS, "default", labels="job-name=nvbandwidth-test-launcher")
            ).items
            return any(pod.status.phase in ("Succeeded", "Failed") for pod in pods)

        workers = [self._runs(f"nvbandwidth-test-worker-{n}") for n in range(2)]

        async def both() -> bool:
            return all([await worker() for worker in workers])

        await self.stage.until("both workers are Running", both, self.reader)
        await self._table("kubectl get pods", _PODS)
        await self._table(f"kubectl get pods -n {names.DRIVER_NAMESPACE} -l {names.DOMAIN_LABEL}", _DAEMON_PODS)
        await self.stage.until("the launcher has finished", finished, self.reader)
        launchers = (
            await self.rack.cluster.list(kinds.PODS, "default", labels="job-name=nvbandwidth-test-launcher")
        ).items
        log = await self._log("default", launchers[0].metadata.name, "mpi-launcher")
        self.stage.command("kubectl logs --tail=-1 -l job-name=nvbandwidth-test-launcher", log)
        self.stage.check("every rank found its channel in one IMEX domain", launchers[0].status.phase == "Succeeded")
        await self._delete(manifest)

    async def three_answers(self, topology: Topology) -> None:
        """Two cliques and a node without fabric: who is in which IMEX domain, and who is in none."""
        await self.installed(topology.nodes + topology.without_fabric)
        await self._create(_KINDS["ComputeDomain"], _big_domain(topology))
        for name, _ in topology.workers():
            await self._create(_KINDS["Pod"], _worker(name))

        async def all_run() -> bool:
            return await self._running("default") >= topology.nodes + topology.without_fabric

        await self.stage.until("all 19 workers are Running", all_run, self.reader)
        await self._table("kubectl get computedomain", _DOMAINS)
        await self._table(
            f"kubectl get computedomaincliques -n {names.DRIVER_NAMESPACE}",
            f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{names.DRIVER_NAMESPACE}/computedomaincliques",
        )
        rosters = (await self.rack.cluster.list(kinds.ROSTERS, names.DRIVER_NAMESPACE)).items
        by_clique = {roster.cliqueID: roster for roster in rosters}
        for clique, roster in sorted(by_clique.items(), reverse=True):
            first = roster.daemons[0].nodeName
            log = await self._log("default", f"worker-{first}", "worker")
            what = f"clique {clique}" if clique else "no fabric"
            self.stage.command(f"kubectl logs worker-{first}   # {what}, {len(roster.daemons)} nodes", log)
            shown = "channel0 is there" if clique else "no channel, and nobody waits for it"
            right = _channel_shown(log) == bool(clique) and len(roster.daemons) == (9 if clique else 1)
            self.stage.check(f"{what}: {len(roster.daemons)} nodes, {shown}", right)
        self.stage.check("there are two IMEX domains and one group without a fabric", len(by_clique) == 3)
        indices = [sorted(e.index for e in r.daemons) for c, r in by_clique.items() if c]
        self.stage.check("each clique has indices 0 to 8, each once", indices == [list(range(9))] * 2)

    async def _apply(self, manifest: Path) -> None:
        said = []
        for body in _bodies(manifest):
            kind = _KINDS[body["kind"]]
            await self._create(kind, body)
            said.append(f"{_spelled(kind)}/{body['metadata']['name']} created")
        self.stage.command(f"kubectl apply -f {manifest.name}", "\n".join(said))

    async def _create(self, kind: Kind[Json], body: Json) -> None:
        await self.rack.cluster.create(kind, body, "default")

    async def _delete(self, manifest: Path) -> None:
        said = []
        for body in _bodies(manifest):
            kind, name = _KINDS[body["kind"]], body["metadata"]["name"]
            await self.rack.cluster.delete(kind, name, "default")
            said.append(f'{_spelled(kind)} "{name}" deleted')
        self.stage.command(f"kubectl delete -f {manifest.name}", "\n".join(said))
        await self.stage.until("everything of it is gone: objects, labels, CDI files", self._clean, self.reader)
        await self._table(f"kubectl get nodes -l {names.DOMAIN_LABEL}", _LABELLED)

    async def _clean(self) -> bool:
        listed: list[Listing[Any]] = [
            await self.rack.cluster.list(kinds.COMPUTE_DOMAINS),
            await self.rack.cluster.list(kinds.ROSTERS),
            await self.rack.cluster.list(kinds.RESOURCE_CLAIMS),
            await self.rack.cluster.list(kinds.CLAIM_TEMPLATES),
            await self.rack.cluster.list(kinds.PODS, names.DRIVER_NAMESPACE, labels=names.DOMAIN_LABEL),
            await self.rack.cluster.list(kinds.NODES, labels=names.DOMAIN_LABEL),
        ]
        return not self._files() and not any(listing.items for listing in listed)

    def _files(self) -> list[Path]:
        """CDI files, claim records and domain folders that are left on any node."""
        plugin = f"*/var/lib/kubelet/plugins/{names.CD_DRIVER}"
        patterns = ("*/var/run/cdi/*.json", f"{plugin}/claims/*.json", f"{plugin}/domains/*")
        return [path for pattern in patterns for path in (self.rack.root / "n").glob(pattern)]

    def _runs(self, pod: str) -> Any:
        async def runs() -> bool:
            try:
                return (await self.rack.cluster.get(kinds.PODS, pod, "default")).ready
            except NotFound:
                return False

        return runs

    async def _running(self, namespace: str) -> int:
        pods = (await self.rack.cluster.list(kinds.PODS, namespace)).items
        return sum(pod.status.phase == "Running" for pod in pods)

    async def _table(self, command: str, path: str) -> None:
        self.stage.command(command, await asyncio.to_thread(tables.get, self.rack.api.url, path))

    async def _log(self, namespace: str, pod: str, container: str) -> str:
        return b"".join([chunk async for chunk in self.rack.world.logs(namespace, pod, container)]).decode()

    async def _daemon_logs(self) -> str:
        pods = (await self.rack.cluster.list(kinds.PODS, names.DRIVER_NAMESPACE, labels=names.DOMAIN_LABEL)).items
        logs = [await self._log(names.DRIVER_NAMESPACE, p.metadata.name, names.DAEMON_CONTAINER) for p in pods]
        return "\n".join(logs)


def _bodies(manifest: Path) -> list[Json]:
    return [body for body in yaml.safe_load_all(manifest.read_text()) if body]


def _spelled(kind: Kind[Json]) -> str:
    return f"{kind.kind.lower()}.{kind.group}" if kind.group else kind.kind.lower()


def _channel_shown(log: str) -> bool:
    return any(line.endswith(" channel0") for line in log.splitlines())


def _big_domain(topology: Topology) -> Json:
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "ComputeDomain",
        "metadata": {"name": "big"},
        "spec": {
            "numNodes": topology.nodes + topology.without_fabric,
            "channel": {"resourceClaimTemplate": {"name": "big-channel"}},
        },
    }


def _worker(node: str) -> Json:
    script = "ls -la /dev/nvidia-caps-imex-channels; trap 'exit 0' TERM; sleep 9999 & wait"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"worker-{node}"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [
                {
                    "name": "worker",
                    "image": "ubuntu:22.04",
                    "command": ["bash", "-c"],
                    "args": [script],
                    "resources": {"claims": [{"name": "channel"}]},
                }
            ],
            "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": "big-channel"}],
        },
    }
