"""A small rack: API objects in memory, a control plane, nodes, and a DRA plugin written against the wire contract."""

import asyncio
import contextlib
import json
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from attrs import define, field
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.errors import AlreadyExists, NotFound
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controlplane import ControlPlane
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.nodes import NodeSpec, RackNode, Surroundings
from nvdra.sim.kube.runtime.commands import Commands
from nvdra.sim.kube.runtime.containers import Loopback
from nvdra.sim.kube.runtime.mpirun import ImexView
from nvdra.sim.kube.world import RackWorld

DRIVER = "channels.example.com"


@define(eq=False, slots=False)
class TestPlugin:
    """A driver with one device a node; every answer and every refusal can be ordered."""

    __test__ = False

    root: Path
    cluster: InProcess
    node: str
    versions: tuple = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
    refuse: str = ""
    refuse_unprepare: str = ""
    hold: float = 0
    calls: list = field(factory=list)
    server: aio.Server | None = None
    registrar: aio.Server | None = None
    registered: list = field(factory=list)

    @property
    def dra_socket(self):
        return self.root / "var/lib/kubelet/plugins" / DRIVER / "dra.sock"

    @property
    def prepared(self):
        return [uids for verb, uids, _ in self.calls if verb == "prepare"]

    async def start(self, *, slices=True):
        self.dra_socket.parent.mkdir(parents=True, exist_ok=True)
        registry = self.root / "var/lib/kubelet/plugins_registry"
        registry.mkdir(parents=True, exist_ok=True)
        self.server, self.registrar = aio.server(), aio.server()
        behaviours = {"NodePrepareResources": self._prepare, "NodeUnprepareResources": self._unprepare}
        for service in (wire.DRA_V1, wire.DRA_V1BETA1):
            bound = {name: self._serving(service, name, do) for name, do in behaviours.items()}
            self.server.add_generic_rpc_handlers((wire.handlers(service, bound),))
        self.server.add_insecure_port(f"unix:{self.dra_socket}")
        await self.server.start()
        told = {"GetInfo": self._info, "NotifyRegistrationStatus": self._notify}
        self.registrar.add_generic_rpc_handlers((wire.handlers(wire.REGISTRATION, told),))
        self.registrar.add_insecure_port(f"unix:{registry}/{DRIVER}-reg.sock")
        await self.registrar.start()
        if slices:
            await self.publish()

    async def publish(self):
        device = {"name": "channel-0", "attributes": {"type": {"string": "channel"}, "id": {"int": 0}}}
        spec = {"driver": DRIVER, "nodeName": self.node, "devices": [device]}
        spec["pool"] = {"name": self.node, "generation": 1, "resourceSliceCount": 1}
        body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "spec": spec}
        with contextlib.suppress(AlreadyExists):
            await self.cluster.create(kinds.SLICES, {**body, "metadata": {"name": f"{self.node}-{DRIVER}"}})

    async def stop(self):
        for server in (self.registrar, self.server):
            if server is not None:
                await server.stop(0.1)
        self.server = self.registrar = None

    async def _info(self, _request, _context):
        info = {"type": "DRAPlugin", "name": DRIVER, "endpoint": str(self.dra_socket)}
        return wire.response(wire.REGISTRATION, "GetInfo", **info, supported_versions=self.versions)

    async def _notify(self, request, _context):
        self.registered.append((request.plugin_registered, request.error))
        return wire.response(wire.REGISTRATION, "NotifyRegistrationStatus")

    def _serving(self, service, name, do):
        async def serve(request, _context):
            answer = wire.response(service, name)
            await do(request, answer, service)
            return answer

        return serve

    async def _prepare(self, request, answer, service):
        self.calls.append(("prepare", [c.uid for c in request.claims], service))
        await asyncio.sleep(self.hold)
        for claim in request.claims:
            if self.refuse:
                answer.claims[claim.uid].error = self.refuse
                continue
            self._write_cdi(claim.uid)
            ids = [f"k8s.{DRIVER}/claim={claim.uid}"]
            answer.claims[claim.uid].devices.add(pool_name=self.node, device_name="channel-0", cdi_device_ids=ids)

    async def _unprepare(self, request, answer, service):
        self.calls.append(("unprepare", [c.uid for c in request.claims], service))
        for claim in request.claims:
            answer.claims[claim.uid].error = self.refuse_unprepare

    def _write_cdi(self, uid):
        node = {"path": "/dev/nvidia-caps-imex-channels/channel0", "type": "c", "major": 507, "minor": 0}
        edits = {"env": [f"CLAIM={uid}"], "deviceNodes": [{**node, "fileMode": 0o666}]}
        spec = {"cdiVersion": "0.5.0", "kind": f"k8s.{DRIVER}/claim"}
        spec["devices"] = [{"name": uid, "containerEdits": edits}]
        (self.root / "var/run/cdi" / f"{uid}.json").write_text(json.dumps(spec))


@define(eq=False, slots=False)
class Instance:
    """What the test's launcher runs in place of `nvdra …`: serves HTTP on its pod's address until told to stop."""

    pid = 1
    argv: tuple
    env: dict
    rootfs: Path
    say: object
    status: int = 200
    exit_code: asyncio.Future = field(factory=lambda: asyncio.get_running_loop().create_future())
    got: list = field(factory=list)
    server: asyncio.Server | None = None

    def signal(self, number):
        self.got.append(number)
        self.end(0 if number == signal.SIGTERM else 128 + number)

    def end(self, code):
        if not self.exit_code.done():
            self.exit_code.set_result(code)

    async def wait(self):
        return await asyncio.shield(self.exit_code)

    async def answer(self, reader, writer):
        await reader.readline()
        writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@define(eq=False)
class TestLauncher:
    __test__ = False

    instances: list = field(factory=list)
    check_code: int = 0

    async def launch(self, argv, env, rootfs, on_output):
        instance = Instance(tuple(argv), dict(env), rootfs, on_output)
        on_output(f"started {' '.join(argv)}")
        if "check" in argv:
            instance.end(self.check_code)
        elif "POD_IP" in env:
            instance.server = await asyncio.start_server(instance.answer, env["POD_IP"], 8080)
            instance.exit_code.add_done_callback(lambda _: instance.server.close())
        self.instances.append(instance)
        return instance


@define(eq=False, slots=False)
class Rack:
    root: Path
    settings: Settings
    octet: int
    store: ObjectStore = field(factory=ObjectStore)
    launcher: TestLauncher = field(factory=TestLauncher)
    imex: dict = field(factory=dict)
    nodes: dict = field(factory=dict)
    plugins: dict = field(factory=dict)

    def __attrs_post_init__(self):
        self.cluster = InProcess(self.store, "sim")
        self.world = RackWorld(self.nodes, lambda node: self.imex.get(node, ImexView()))

    async def start(self, cliques, *, gpus=4):
        """Nodes by name with their clique; "control-plane" is one without GPUs."""
        self.plane = ControlPlane(self.cluster, {n: c for n, c in cliques.items() if c})
        await self.plane.start()
        commands = Commands(self.launcher, self.world)
        around = Surroundings(self.cluster, self.plane.feed, commands, Loopback(self.octet), self.settings, 0.2)
        for name in cliques:
            control = name == "control-plane"
            spec = NodeSpec(name, self.root / name, gpus=0 if control else gpus, control_plane=control)
            self.nodes[name] = RackNode(spec, around)
            await self.nodes[name].start()
        if any(cliques.values()):
            await self.until(lambda: self._labelled(cliques))

    async def _labelled(self, cliques):
        nodes = (await self.cluster.list(kinds.NODES)).items
        return {n["metadata"]["labels"].get("nvidia.com/gpu.clique", "") for n in nodes} == set(cliques.values())

    async def with_plugins(self, *names):
        selector = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].type == "channel"'
        spec = {"selectors": [{"cel": {"expression": selector}}]}
        await self.create(kinds.CLASSES, {"metadata": {"name": "channel"}, "spec": spec})
        for name in names or [n for n in self.nodes if n != "control-plane"]:
            self.plugins[name] = TestPlugin(self.root / name, self.cluster, name)
            await asyncio.sleep(0)
            await self.plugins[name].start()
            await self.until(lambda name=name: self.plugins[name].registered)

    async def stop(self):
        for node in self.nodes.values():
            await node.stop()
        for plugin in self.plugins.values():
            await plugin.stop()
        await self.plane.stop()

    async def create(self, kind, body, namespace="default"):
        full = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return await self.cluster.create(kind, full, namespace if kind.namespaced else "")

    async def template(self, name="channel"):
        request = {"name": "channel", "exactly": {"deviceClassName": "channel"}}
        spec = {"metadata": {"labels": {"from": "template"}}, "spec": {"devices": {"requests": [request]}}}
        await self.create(kinds.CLAIM_TEMPLATES, {"metadata": {"name": name}, "spec": spec})

    async def pod(self, name, *, script="trap 'exit 0' TERM; sleep 9999 & wait", claim="", **more):
        container = {"name": "ctr", "image": "ubuntu:22.04", "command": ["bash", "-c"], "args": [script]}
        spec = {"containers": [container | more.pop("container", {})], **more.pop("spec", {})}
        if claim:
            container = spec["containers"][0]
            container["resources"] = {"claims": [{"name": "c"}]}
            kind = "resourceClaimName" if claim.startswith("=") else "resourceClaimTemplateName"
            spec["resourceClaims"] = [{"name": "c", kind: claim.lstrip("=")}]
        return await self.create(kinds.PODS, {"metadata": {"name": name, **more.pop("metadata", {})}, "spec": spec})

    async def get(self, kind, name, namespace="default"):
        try:
            return await self.cluster.get(kind, name, namespace if kind.namespaced else "")
        except NotFound:
            return None

    async def phase(self, name, namespace="default"):
        pod = await self.get(kinds.PODS, name, namespace)
        return pod and pod.get("status", {}).get("phase")

    async def running(self, name):
        await self.until(lambda: self._is(name, "Running"))
        return await self.get(kinds.PODS, name)

    async def ended(self, name):
        await self.until(lambda: self._is(name, "Succeeded", "Failed"))
        return await self.get(kinds.PODS, name)

    async def gone(self, kind, name):
        await self.until(lambda: self._gone(kind, name))

    async def _gone(self, kind, name):
        return await self.get(kind, name) is None

    async def _is(self, name, *phases):
        return await self.phase(name) in phases

    async def events(self, name):
        found = (await self.cluster.list(kinds.EVENTS)).items
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]

    async def told(self, name, reason, part=""):
        async def there():
            return any(r == reason and part in m for r, m in await self.events(name))

        await self.until(there)

    async def log(self, name, container="ctr", *, previous=False):
        chunks = [c async for c in self.world.logs("default", name, container, previous)]
        return b"".join(chunks).decode()

    async def until(self, holds, seconds=15.0):
        """Poll until it holds; fail with the state of all pods when it does not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
        pods = (await self.cluster.list(kinds.PODS)).items
        events = [
            (e["involvedObject"]["name"], e["reason"], e["message"])
            for e in (await self.cluster.list(kinds.EVENTS)).items
        ]
        raise AssertionError(json.dumps([[p["metadata"]["name"], p.get("status")] for p in pods] + events, indent=1))


@pytest.fixture
def root():
    """A short path: unix sockets have at most 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="nk-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def rack(root):
    quick = Settings(
        prepare_retry=(30, 40),
        unprepare_retry=(0.1, 0.2),
        registry_poll=0.05,
        first_back_off=0.2,
        wipe_slices_after=0.3,
        reconcile_every=0.3,
    )
    rack = Rack(root, quick, octet=1 + hash(str(root)) % 200)
    yield rack
    with contextlib.suppress(AttributeError):
        await rack.stop()
