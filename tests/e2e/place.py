"""A place to test the driver at, as its users and the administrator of its nodes see it: a rack, or a real cluster."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from nvdra.api import names
from nvdra.sim.manifests import example
from tests.cluster import leftovers
from tests.cluster.view import Json, User, running, until

GUIDE = str(example("imex-channel-injection"))
OTHER_CLIQUE = "9277d399-0674-44a9-b64e-d85bb19ce2b0.32765"
OWN = names.DRIVER_NAMESPACE
LIMIT = 60.0
"""Seconds that anything may take on a busy machine; what is promised within less says so."""


@define(eq=False)
class Place(ABC):
    """Two GPU nodes of one clique, node-1 and node-2, with the driver on them, and somebody with the real kubectl."""

    user: User
    nodes: tuple[str, ...] = ("node-1", "node-2")
    _moved: dict[str, str] = field(factory=dict)

    # What only the administrator of a node can see or do.

    @abstractmethod
    def files(self, node: str) -> list[str]:
        """CDI files, claim records, domain folders and channel devices that are on a node now, by their paths."""

    @abstractmethod
    def imex(self) -> list[str]:
        """The process id of every nvidia-imex."""

    @abstractmethod
    def hardware(self, node: str, clique: str) -> None:
        """From the next look at NVML on, the node's GPUs are in that clique; "": they have no fabric."""

    @abstractmethod
    def acts(self, node: str, **control: Any) -> None:
        """Failures for the node's nvidia-imex to act out; none: it is well again."""

    def label(self, node: str, clique: str) -> None:
        """What GPU Feature Discovery does when it has read NVML."""
        told = f"{names.GPU_CLIQUE_LABEL}={clique}" if clique else f"{names.GPU_CLIQUE_LABEL}-"
        self.user.kubectl("label", "node", node, told, "--overwrite")

    # The fabric.

    def clique(self, node: str) -> str:
        """As the node's label says; "" for none."""
        return str(self.user.json("get", "node", node)["metadata"]["labels"].get(names.GPU_CLIQUE_LABEL, ""))

    def published(self, node: str) -> str:
        """The clique that our driver has read, as its ResourceSlice tells."""
        for item in self.user.json("get", "resourceslices")["items"]:
            spec = item["spec"]
            if spec["driver"] != names.CD_DRIVER or spec.get("nodeName") != node:
                continue
            for device in spec["devices"]:
                attributes = (device.get("basic") or device).get("attributes", {})
                if "clique" in attributes:
                    return str(attributes["clique"]["string"])
        return ""

    def move(self, node: str, clique: str) -> None:
        """Put a node into another clique, or take its fabric away (""), and wait until the driver has noticed."""
        self._moved.setdefault(node, self.clique(node))
        self.hardware(node, clique)
        self.label(node, clique)
        wanted = clique or names.NO_FABRIC
        until(f"the driver sees {node} in {wanted}", lambda: self.published(node) == wanted, 30)
        until(f"the label of {node} is {clique!r}", lambda: self.clique(node) == clique, 30)

    @contextmanager
    def tidy(self) -> Iterator["Place"]:
        """Whatever was made here is gone afterwards, and nothing of it is left; every node is in its clique again."""
        try:
            yield self
        finally:
            for node in self.nodes:
                self.acts(node)
            for kinds in ("jobs,pods", "computedomains"):
                self.user.kubectl("delete", kinds, "--all", "--timeout=90s", "--ignore-not-found")
            moved, self._moved = self._moved, {}
            for node, clique in moved.items():
                self.move(node, clique)
            self._moved.clear()
        self.all_gone()

    def left(self) -> list[str]:
        """Everything that is there and belongs to some ComputeDomain."""
        on_nodes = [f"{node}: {path}" for node in self.nodes for path in self.files(node)]
        return [*leftovers.in_the_api(self.user), *on_nodes, *(f"nvidia-imex {pid}" for pid in self.imex())]

    def all_gone(self, limit: float = LIMIT) -> None:
        """Wait until nothing of any ComputeDomain is left; say what is when it takes too long."""
        end = time.monotonic() + limit
        while left := self.left():
            assert time.monotonic() < end, f"still there after {limit:.0f} s: {left}"
            time.sleep(0.2)

    # What a user sees.

    def pod(self, name: str) -> Json:
        return self.user.json("get", "pod", name)

    def runs(self, *pods: str, limit: float = LIMIT) -> None:
        """Wait until the containers of all of them run."""
        end = time.monotonic() + limit
        for name in pods:
            while not running(found := self.pod(name)):
                told = f"{json.dumps(found['status'])}\n{self.told(name)}"
                assert time.monotonic() < end, f"{name} does not run after {limit:.0f} s:\n{told}"
                time.sleep(0.2)

    def log(self, pod: str) -> str:
        return self.user.kubectl("logs", pod)

    def domain(self, name: str) -> Json:
        return self.user.json("get", "computedomain", name)

    def condition(self, domain: str, kind: str) -> Json:
        """A condition of a ComputeDomain; empty while it has none."""
        found = self.domain(domain).get("status", {}).get("conditions", ())
        return next((c for c in found if c["type"] == kind), {})

    def is_ready(self, name: str) -> bool:
        return self.domain(name).get("status", {}).get("status") == "Ready"

    def told(self, name: str) -> str:
        """The Events about the object of that name."""
        found = self.user.json("get", "events", "--field-selector", f"involvedObject.name={name}")["items"]
        return "\n".join(f"{event['reason']}: {event['message']}" for event in found)

    def said(self, name: str, words: str, limit: float = LIMIT) -> None:
        """Wait for an Event about the object that has these words in it."""
        end = time.monotonic() + limit
        while words not in (told := self.told(name)):
            assert time.monotonic() < end, f"not within {limit:.0f} s: {words!r} in the Events of {name}:\n{told}"
            time.sleep(0.2)

    def daemons(self) -> list[Json]:
        """IMEX daemon pods that are not on their way out."""
        found = self.user.json("get", "pods", "-n", OWN, "-l", names.DOMAIN_LABEL)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def rosters(self) -> list[Json]:
        found: list[Json] = self.user.json("get", "computedomaincliques", "-n", OWN)["items"]
        return found

    def members(self, domain: str) -> list[str]:
        """Nodes that carry the label of that ComputeDomain."""
        uid = self.domain(domain)["metadata"]["uid"]
        found = self.user.json("get", "nodes", "-l", f"{names.DOMAIN_LABEL}={uid}")["items"]
        return sorted(node["metadata"]["name"] for node in found)

    def in_daemon(self, pod: Json, *command: str) -> str:
        """What a command prints that is run in an IMEX daemon's container."""
        return self.user.kubectl("exec", "-n", OWN, pod["metadata"]["name"], "--", *command)

    def connections(self, pod: Json) -> dict[str, str]:
        """Of all pairs of nodes that the daemon's own nvidia-imex knows about: `0-1` to CONNECTED and so on."""
        shown = json.loads(self.in_daemon(pod, "nvidia-imex-ctl", "-c", "/imexd/imexd.cfg", "-N", "-j"))["nodes"]
        return {
            f"{here}-{there}": told["status"]
            for here, node in shown.items()
            for there, told in node["connections"].items()
        }
