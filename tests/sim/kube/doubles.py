"""What a small rack runs in place of a driver: a DRA plugin written against the wire contract, and programs."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path

from attrs import define, field
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.errors import AlreadyExists
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.kube import kinds

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
