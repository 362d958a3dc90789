"""A small rack: API objects in memory, a control plane, nodes, and a DRA plugin written against the wire contract."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from attrs import define, field

from nvdra.errors import NotFound
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
from tests.sim.kube.doubles import DRIVER, TestLauncher, TestPlugin


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
