"""How faults of one or two nodes are made on the real cluster: one function each, by the fault's name."""

import json
from collections.abc import Callable
from typing import Any

from nvdra.api import names
from nvdra.sim.imex.books import hash_of
from tests.cluster import installation, processes
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import run
from tests.cluster.bed.hardware import Fabric
from tests.cluster.explained.cases import Case, Injection
from tests.cluster.image import NAME
from tests.cluster.leftovers import PLUGIN as FOLDER
from tests.cluster.life import rosters
from tests.cluster.view import Json, until
from tests.cluster.workloads import domain, worker

Make = Callable[[Case], None]
INJECTIONS: dict[str, Injection] = {}
GFD_LABEL = "nvidia.com/gpu.clique"
PLUGIN = "nvdra kubelet-plugin"
IMEX = "nvdra.sim.imex imex"


def injection(
    name: str, nodes: int = 1, *, everywhere: bool = False, undo_first: bool = False
) -> Callable[[Make], Make]:
    """Register a function as the way to make a fault."""

    def add(make: Make) -> Make:
        INJECTIONS[name] = Injection(make, nodes, everywhere, undo_first)
        return make

    return add


def imex(case: Case, **acted: Any) -> None:
    """The first node's nvidia-imex acts this out, until it is put right."""
    case.undo.callback(hardware.imex_acts, case.node, "{}")
    hardware.imex_acts(case.node, json.dumps(acted))


def gpus(case: Case, fabric: Fabric | None, **more: str) -> None:
    """The first node's NVML says so, until it is put right and its plugin has seen that."""
    before = devices(case)
    case.undo.callback(until, "the plugin has seen the hardware mended", lambda: devices(case) == before, 20)
    case.undo.callback(hardware.describe, case.node, Fabric(case.node.clique))
    hardware.describe(case.node, fabric, **more)  # type: ignore[arg-type]  # the one keyword that is a text


@injection("host-imex")
def _host_imex(case: Case) -> None:
    imex(case, exit_at_start="failed to allocate imex session: NV_ERR_IN_USE")
    case.start()


@injection("no-clique", nodes=2)
def _no_clique(case: Case) -> None:
    before = devices(case)
    gpus(case, None)
    until("the plugin has seen it", lambda: devices(case) != before, 20)
    case.undo.callback(case.user.kubectl, "label", "node", case.node.name, f"{GFD_LABEL}={case.node.clique}")
    case.user.kubectl("label", "node", case.node.name, f"{GFD_LABEL}-")
    case.start(2)


def devices(case: Case) -> list[Json]:
    """What the first node's plugin offers."""
    slices = case.user.json("get", "resourceslices")["items"]
    return [
        each for item in slices if item["spec"].get("nodeName") == case.node.name for each in item["spec"]["devices"]
    ]


@injection("fabric-not-completed")
def _fabric_not_completed(case: Case) -> None:
    gpus(case, Fabric(case.node.clique, state=2))
    case.start()


@injection("driver-root")
def _driver_root(case: Case) -> None:
    program = case.node.driver / "usr/bin/nvidia-imex"
    aside = program.rename(program.with_suffix(".aside"))
    case.undo.callback(aside.rename, program)
    case.start()


@injection("driver-too-old")
def _driver_too_old(case: Case) -> None:
    gpus(case, Fabric(case.node.clique), version="565.57.01")
    case.start(0)


@injection("foreign-template", nodes=0)
def _foreign_template(case: Case) -> None:
    exactly = {"deviceClassName": names.CHANNEL_CLASS}
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate"}
    spec = {"spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}}
    case.create({**kind, "metadata": {"name": case.domain, "namespace": "default"}, "spec": spec})
    case.undo.callback(case.user.kubectl, "delete", "resourceclaimtemplate", case.domain)
    case.create(domain(case.domain, 1))


@injection("node-taken")
def _node_taken(case: Case) -> None:
    other = f"{case.domain}-other"
    (plugin,) = (pod for pod in installation.pods(case.user, "kubelet-plugin") if on(case, pod))
    case.user.kubectl("delete", "pod", "-n", names.DRIVER_NAMESPACE, plugin["metadata"]["name"], "--timeout=60s")
    until(
        "a new plugin has looked for labels of nobody, and does not for a minute", lambda: installation.ready(case.user)
    )
    case.create(domain(other, 2))
    case.undo.callback(case.user.kubectl, "delete", "computedomain", other, "--timeout=60s")
    uid = case.user.json("get", "computedomain", other)["metadata"]["uid"]
    case.user.kubectl("label", "node", case.node.name, f"{names.DOMAIN_LABEL}={uid}")
    case.start()


def on(case: Case, pod: Json) -> bool:
    """Whether the pod is on the first node."""
    return bool(pod["spec"]["nodeName"] == case.node.name)


@injection("former-importers", nodes=2)
def _former_importers(case: Case) -> None:
    case.run()
    there, peer = case.daemon(case.node), case.daemon(case.nodes[1])
    listed = in_daemon(case, there, "cat /imexd/nodes.cfg").split()
    index = indices(case)[case.nodes[1].name]
    imex(case, unreachable=[listed[index], peer["status"]["podIP"]])
    book = {"nodes": hash_of(listed), "clean": False, "importers": [index]}
    in_daemon(case, there, f"echo '{json.dumps(book)}' > /var/run/nvidia-imex/persist.dat")
    processes.kill(case.bed, *processes.of_pod(case.bed, there, IMEX))


def in_daemon(case: Case, pod: Json, script: str) -> str:
    """Run it there."""
    name = pod["metadata"]["name"]
    return case.user.kubectl("exec", "-n", names.DRIVER_NAMESPACE, name, "--", "sh", "-c", script)


def indices(case: Case) -> dict[str, int]:
    """Node to index, over all rosters."""
    return {entry["nodeName"]: entry["index"] for roster in rosters(case.user) for entry in roster.get("daemons", ())}


@injection("imex-versions", nodes=2)
def _imex_versions(case: Case) -> None:
    imex(case, version="570.86.15")
    case.run()  # until then they have not met


@injection("peer-unreachable", nodes=2)
def _peer_unreachable(case: Case) -> None:
    case.run()
    imex(case, unreachable=[case.daemon(case.nodes[1])["status"]["podIP"]])


@injection("unschedulable")
def _unschedulable(case: Case) -> None:
    """A pod of the node's that nobody may evict has what is left of its CPU."""
    fill = {"name": "hog", "image": "localhost/pause:bed", "imagePullPolicy": "Never"}
    fill["resources"] = {"requests": {"cpu": f"{free_cpu(case) - 5}m"}}
    spec = {"nodeName": case.node.name, "priorityClassName": "system-node-critical", "containers": [fill]}
    spec |= {"terminationGracePeriodSeconds": 0}
    case.user.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hog"}, "spec": spec})
    case.undo.callback(case.user.kubectl, "delete", "pod", "hog", "--grace-period=1", "--timeout=60s")
    case.start()


def free_cpu(case: Case) -> int:
    """Thousandths of a core that pods of the node have not asked for."""
    node = case.user.json("get", "node", case.node.name)
    pods = case.user.json("get", "pods", "-A", f"--field-selector=spec.nodeName={case.node.name}")["items"]
    asked = [
        container.get("resources", {}).get("requests", {}).get("cpu", "0")
        for pod in pods
        for container in pod["spec"]["containers"]
    ]
    return milli(node["status"]["allocatable"]["cpu"]) - sum(map(milli, asked))


def milli(amount: str) -> int:
    """`250m`, or cores."""
    return int(amount.removesuffix("m")) if amount.endswith("m") else int(float(amount) * 1000)


@injection("image")
def _image(case: Case) -> None:
    """The image is not on the node, and there is no registry to have it from. It is kept under another name."""
    ctr = [case.bed.layout.binaries("ctr"), "--address=/run/containerd/containerd.sock", "-n", "k8s.io", "images"]
    number, kept = case.node.number, f"{NAME}-kept"
    run(case.bed.on_node(number, *ctr, "tag", "--force", NAME, kept))
    case.undo.callback(run, case.bed.on_node(number, *ctr, "tag", "--force", kept, NAME))
    run(case.bed.on_node(number, *ctr, "rm", NAME))
    case.start()


@injection("imex-missing")
def _imex_missing(case: Case) -> None:
    program = case.node.driver / "usr/bin/nvidia-imex"
    case.undo.callback(program.chmod, 0o755)
    program.chmod(0o644)
    case.start()


@injection("crash-loop")
def _crash_loop(case: Case) -> None:
    imex(case, crash={"after": 0, "code": 7})
    case.start()


@injection("port-in-use")
def _port_in_use(case: Case) -> None:
    imex(case, exit_at_start="Failed to bind 127.0.0.9:50000: Address already in use")
    case.start()


@injection("no-majors")
def _no_majors(case: Case) -> None:
    listed = case.node.driver / "proc/devices"
    before = listed.read_text()
    case.undo.callback(listed.write_text, before)  # in place: it is mounted as a file
    listed.write_text(before.replace("nvidia-caps-imex-channels", "something-else"))
    case.start()


@injection("corrupt-checkpoint")
def _corrupt_checkpoint(case: Case) -> None:
    case.run()
    claim = case.pod(f"{case.domain}-{case.node.number}")["status"]["resourceClaimStatuses"][0]["resourceClaimName"]
    uid = case.user.json("get", "resourceclaim", claim)["metadata"]["uid"]
    # what was set aside is kept for people, and with it went the memory that the device node is ours
    left = f"{FOLDER}/claims/*.corrupt-* /dev/nvidia-caps-imex-channels/channel0"
    case.undo.callback(run, case.bed.on_node(case.node.number, "sh", "-c", f"rm -f {left}"))
    run(case.bed.on_node(case.node.number, "sh", "-c", f"echo '{{' > {FOLDER}/claims/{uid}.json"))
    restart_plugin(case)


def restart_plugin(case: Case) -> None:
    """Kill the first node's with SIGKILL; it is there again when the next one runs."""
    (pod,) = (pod for pod in installation.pods(case.user, "kubelet-plugin") if on(case, pod))
    before = processes.of_pod(case.bed, pod, PLUGIN)
    processes.kill(case.bed, *before)
    until("the plugin is back", lambda: processes.of_pod(case.bed, pod, PLUGIN) not in ([], before), 30)


@injection("other-namespace")
def _other_namespace(case: Case) -> None:
    case.create(domain(case.domain, 1))
    case.namespace = "other"
    case.user.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    case.undo.callback(case.user.kubectl, "delete", "namespace", "other", "--timeout=60s")
    group = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": "ComputeDomainChannelConfig"}
    opaque = {"driver": names.CD_DRIVER, "parameters": {**group, "domainID": case.uid()}}
    requests = [{"name": "r", "exactly": {"deviceClassName": names.CHANNEL_CLASS}}]
    devices = {"requests": requests, "config": [{"requests": ["r"], "opaque": opaque}]}
    place = {"name": "theirs", "namespace": "other"}
    case.user.apply(
        {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": place, "spec": {"devices": devices}}
    )
    theirs = worker(case.domain, case.node.number, namespace="other")
    theirs["spec"]["resourceClaims"] = [{"name": "channel", "resourceClaimName": "theirs"}]
    case.create(theirs)


@injection("deleted-in-use")
def _deleted_in_use(case: Case) -> None:
    case.run()
    case.user.kubectl("delete", "computedomain", case.domain, "--wait=false")
