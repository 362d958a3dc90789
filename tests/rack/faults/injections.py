"""How each fault of the table is made on a rack: one function each, by the fault's name."""

import json
import shutil
from collections.abc import Awaitable, Callable

import attrs

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.sim.imex.books import hash_of
from nvdra.sim.kube.kinds import CLAIM_TEMPLATES, NODES, PODS
from nvdra.sim.nvml import change_fabric, cluster_uuid, in_clique, write_rack_node
from nvdra.sim.topology import FIRST_CLIQUE
from tests.rack.faults.cases import Case, Injection
from tests.rack.rig import DOMAINS

NAMESPACES = Kind(dict, "Namespace", "namespaces", namespaced=False)
INJECTIONS: dict[str, Injection] = {}
FABRIC = in_clique(cluster_uuid("rack-0"), FIRST_CLIQUE)

Make = Callable[[Case], Awaitable[None]]


def injection(name: str, nodes: int = 1, *, everywhere: bool = False) -> Callable[[Make], Make]:
    """Register a function as the way to make a fault."""

    def add(make: Make) -> Make:
        INJECTIONS[name] = Injection(make, nodes, everywhere)
        return make

    return add


@injection("host-imex")
async def _host_imex(case: Case) -> None:
    case.rig.imex(case.node, exit_at_start="failed to allocate imex session: NV_ERR_IN_USE")
    await case.start()


@injection("no-clique", nodes=2)
async def _no_clique(case: Case) -> None:
    change_fabric(case.rig.root(case.node) / "hardware.json", None)
    await case.start(2)


@injection("fabric-not-completed")
async def _fabric_not_completed(case: Case) -> None:
    change_fabric(case.rig.root(case.node) / "hardware.json", attrs.evolve(FABRIC, state=2), gpu=1)
    await case.start()


@injection("driver-root")
async def _driver_root(case: Case) -> None:
    shutil.rmtree(case.rig.root(case.node) / "driver/usr")
    await case.start()


@injection("driver-too-old")
async def _driver_too_old(case: Case) -> None:
    hardware = case.rig.root(case.node) / "hardware.json"
    write_rack_node(hardware, case.node, fabric=FABRIC, driver_version="565.57.01")
    await case.start(0)


@injection("cdi-off")
async def _cdi_off(case: Case) -> None:
    kubelet = case.rig.rack.nodes[case.node].kubelet
    kubelet.settings = attrs.evolve(kubelet.settings, cdi=False)
    await case.start()


@injection("clique-full", nodes=3)
async def _clique_full(case: Case) -> None:
    await case.create_domain(3)
    for node in case.nodes[1:]:
        await case.create_worker(node)
    await case.rig.until("two are listed", lambda: _indices(case, 2))
    case.worker = ""
    await case.create_worker(case.node)


async def _indices(case: Case, number: int) -> bool:
    return set(case.nodes[1 : number + 1]) <= set(await case.rig.indices())


@injection("foreign-template", nodes=0)
async def _foreign_template(case: Case) -> None:
    exactly = {"deviceClassName": names.CHANNEL_CLASS}
    spec = {"spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}}
    body = {"metadata": {"name": f"{case.domain}-channel"}, "spec": spec}
    await case.rig.rack.cluster.create(CLAIM_TEMPLATES, body, "default")
    await case.create_domain()


@injection("node-taken")
async def _node_taken(case: Case) -> None:
    other = await case.rig.create_domain(f"{case.domain}-other", wanted=2)
    labels = {names.DOMAIN_LABEL: other}
    await case.rig.patch(NODES, case.node, {"metadata": {"labels": labels}}, namespace="")
    await case.start()


@injection("former-importers", nodes=2)
async def _former_importers(case: Case) -> None:
    await case.start(2)
    rig, node, peer = case.rig, case.node, case.nodes[1]
    await rig.running(*(f"{case.fault.name}-{number}" for number in range(2)))
    daemon, indices = rig.daemon(node), await rig.indices()
    listed = (daemon.rootfs / "imexd/nodes.cfg").read_text().split()
    address = (await rig.daemons(peer))[0]["status"]["podIP"]
    unreachable = {"unreachable": [listed[indices[peer]], address]}
    book = {"nodes": hash_of(listed), "clean": False, "importers": [indices[peer]]}
    persist = daemon.rootfs / "var/run/nvidia-imex/persist.dat"
    persist.write_text(json.dumps(book))
    rig.imex(node, crash={"after": 0, "code": 1}, **unreachable)
    await rig.until("it has crashed", lambda: not _ready(case))
    persist.write_text(json.dumps(book))
    rig.imex(node, **unreachable)


def _ready(case: Case) -> bool:
    found = (case.rig.plugin_folder(case.node) / "domains").glob("*/status.json")
    return all(json.loads(path.read_text())["ready"] for path in found)


@injection("imex-versions", nodes=2)
async def _imex_versions(case: Case) -> None:
    case.rig.imex(case.node, version="570.86.15")
    await case.start(2)


@injection("unschedulable")
async def _unschedulable(case: Case) -> None:
    node = await case.rig.node(case.node)
    hog = {"name": "hog", "image": "busybox", "resources": {"requests": {"cpu": node["status"]["allocatable"]["cpu"]}}}
    spec = {"containers": [hog | {"command": ["sh", "-c", "sleep 9999"]}]}
    body = {"metadata": {"name": "hog"}, "spec": {**spec, "nodeSelector": {"kubernetes.io/hostname": case.node}}}
    await case.rig.rack.cluster.create(PODS, body, "default")
    await case.rig.running("hog")
    await case.start()


@injection("image")
async def _image(case: Case) -> None:
    kubelet = case.rig.rack.nodes[case.node].kubelet
    kubelet.settings = attrs.evolve(kubelet.settings, missing_images=["nvdra"])
    await case.start()


@injection("imex-missing")
async def _imex_missing(case: Case) -> None:
    (case.rig.root(case.node) / "driver/usr/bin/nvidia-imex").chmod(0o644)
    await case.start()


@injection("crash-loop")
async def _crash_loop(case: Case) -> None:
    case.rig.imex(case.node, crash={"after": 0, "code": 7})
    await case.start()


@injection("port-in-use")
async def _port_in_use(case: Case) -> None:
    case.rig.imex(case.node, exit_at_start="Failed to bind 127.0.0.9:50000: Address already in use")
    await case.start()


@injection("peer-unreachable", nodes=2)
async def _peer_unreachable(case: Case) -> None:
    await case.start(2)
    await case.rig.running(*(f"{case.fault.name}-{number}" for number in range(2)))
    address = (await case.rig.daemons(case.nodes[1]))[0]["status"]["podIP"]
    case.rig.imex(case.node, unreachable=[address])


@injection("plugin-unregistered")
async def _plugin_unregistered(case: Case) -> None:
    root = case.rig.root(case.node)
    (root / "var/lib/kubelet/elsewhere").mkdir()
    (root / "plugin-registry").write_text("elsewhere")
    await case.rig.restart_plugin(case.node)
    await case.start()


@injection("no-majors")
async def _no_majors(case: Case) -> None:
    devices = case.rig.root(case.node) / "driver/proc/devices"
    devices.write_text(devices.read_text().replace("nvidia-caps-imex-channels", "something-else"))
    await case.start()


@injection("corrupt-checkpoint")
async def _corrupt_checkpoint(case: Case) -> None:
    await case.start()
    await case.rig.running(case.worker)
    folder = case.rig.plugin_folder(case.node) / "claims"
    uid = case.rig.records(case.node)[0]["uid"]
    await case.rig.restart_plugin(case.node, meanwhile=lambda: (folder / f"{uid}.json").write_text("{"))


@injection("other-namespace")
async def _other_namespace(case: Case) -> None:
    await case.create_domain()
    uid = (await case.rig.domain(case.domain))["metadata"]["uid"]
    case.namespace = "other"
    await case.rig.rack.cluster.create(NAMESPACES, {"metadata": {"name": "other"}})
    parameters = {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "ComputeDomainChannelConfig",
        "domainID": uid,
    }
    await case.rig.create_claim("theirs", parameters, namespace="other")
    await case.create_worker(claim="theirs", namespace="other")


@injection("deleted-in-use")
async def _deleted_in_use(case: Case) -> None:
    await case.start()
    await case.rig.running(case.worker)
    await case.rig.delete(DOMAINS, case.domain)


@injection("rbac", nodes=1, everywhere=True)
async def _rbac(case: Case) -> None:
    case.rig.order("forbidden", verb="patch", resource="nodes", agent="nvdra-kubelet-plugin")
    case.rig.order("forbidden", verb="create", resource="daemonsets", agent="nvdra-controller")
    await case.start()


@injection("rbac-reading", nodes=0, everywhere=True)
async def _rbac_reading(case: Case) -> None:
    """The controller's own watches end now and then, as they do everywhere; then the rule is missed."""
    case.rig.order("forbidden", resource="resourceslices", agent="nvdra-controller")
    for watcher in case.rig.rack.api.store.hub.everybody():
        watcher.close()
    await case.create_domain()


@injection("throttled", nodes=1, everywhere=True)
async def _throttled(case: Case) -> None:
    await case.create_domain()
    await case.rig.until("the template", lambda: case.rig.get(CLAIM_TEMPLATES, f"{case.domain}-channel"))
    case.rig.order("throttle", agent="nvdra-kubelet-plugin")
    await case.create_worker()
