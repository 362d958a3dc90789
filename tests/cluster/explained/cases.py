"""One fault on the real cluster: its nodes, its domain, its workers, and what people see of them with their own tools."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.explain.faults import DOMAIN, Fault
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.layout import Node
from tests.cluster.life import daemons
from tests.cluster.view import Json, User, running, until
from tests.cluster.workloads import domain, worker
from tests.naming import IN_TIME, lacking, places_of

LOOK_EVERY = 0.5
CALM = 60.0
"""Seconds in which a node has to be free again."""


@define(eq=False)
class Case:
    """A fault with the nodes that it has for itself. Domain and workers are called after the fault."""

    bed: Cluster
    user: User
    fault: Fault
    nodes: tuple[Node, ...]
    namespace: str = "default"
    undo: ExitStack = field(factory=ExitStack)
    """What puts right what was broken, the last first."""
    _workers: list[str] = field(factory=list)

    @property
    def node(self) -> Node:
        """The first node: the fault is there."""
        return self.nodes[0]

    @property
    def domain(self) -> str:
        """The ComputeDomain's name, and its template's."""
        return f"fault-{self.fault.name}"

    def start(self, wanted: int = 1) -> None:
        """The domain, and a worker on each of its nodes; the first worker is the one that people look at."""
        self.create(domain(self.domain, wanted), *(worker(self.domain, node.number) for node in self.nodes))

    def create(self, *objects: Json) -> None:
        """Apply them."""
        self._workers += [each["metadata"]["name"] for each in objects if each["kind"] == "Pod"]
        self.user.apply(*objects)

    def run(self) -> None:
        """Start, until all workers run."""
        self.start(len(self.nodes))
        until("the workers run", lambda: all(running(self.pod(name)) for name in self._workers))

    def pod(self, name: str) -> Json:
        """A worker."""
        return self.user.json("get", "pod", "-n", self.namespace, name)

    def uid(self) -> str:
        """Of the ComputeDomain."""
        return str(self.user.json("get", "computedomain", self.domain)["metadata"]["uid"])

    def daemon(self, node: Node) -> Json:
        """This domain's daemon pod on a node."""
        uid = self.uid()
        there = (pod for pod in daemons(self.user) if pod["metadata"]["labels"][names.DOMAIN_LABEL] == uid)
        (found,) = (pod for pod in there if pod["spec"].get("nodeName") == node.name)
        return found

    def described(self) -> dict[str, str]:
        """What `kubectl describe` says of each object on which the fault shows."""
        return {f"kubectl describe of the {place}": self._describe(place) for place in places_of(self.fault)}

    def _describe(self, place: str) -> str:
        if place == DOMAIN:
            return self.user.attempt(self.user.kubectl_program, "describe", "computedomain", self.domain).stdout
        return self.user.attempt(
            self.user.kubectl_program, "describe", "pod", "-n", self.namespace, self._workers[0]
        ).stdout

    def explained(self) -> dict[str, str]:
        """What `nvdra explain` says, of the command line."""
        command = [str(Path(sys.executable).with_name("nvdra")), "explain", "computedomain", f"default/{self.domain}"]
        environment = {**os.environ, "KUBECONFIG": str(self.user.kubeconfig)}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return {"nvdra explain": ran.stdout + ran.stderr}

    def named(self) -> list[str]:
        """What of cause and way out is not said in time. What one look takes beyond a second is the machine's time."""
        passed, missing = 0.0, ["nobody looked"]
        while passed < IN_TIME:
            began = time.monotonic()
            missing = lacking(self.fault, self.described())
            if not missing:
                return lacking(self.fault, self.explained())
            time.sleep(LOOK_EVERY)
            passed += min(time.monotonic() - began, 2 * LOOK_EVERY)
        return missing

    def clear(self) -> None:
        """Put it right, and take everything away, until the nodes are free for the next."""
        self.undo.close()
        gone = ("--ignore-not-found", "--timeout=60s")
        if self._workers:
            self.user.kubectl("delete", "pods", "-n", self.namespace, *self._workers, "--grace-period=1", *gone)
        self.user.kubectl("delete", "computedomains", self.domain, *gone)
        until(f"{self.fault.name}'s nodes are free", lambda: not self._taken(), CALM)

    def _taken(self) -> list[str]:
        """Labels and daemons on its nodes."""
        mine = {node.name for node in self.nodes}
        labelled = self.user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"]
        there = [node["metadata"]["name"] for node in labelled] + [
            d["spec"].get("nodeName") for d in daemons(self.user)
        ]
        return [name for name in there if name in mine]


@frozen
class Injection:
    """How a fault is made on the cluster, and on how many nodes. `everywhere`: it strikes all of the driver."""

    make: Callable[[Case], None]
    nodes: int = 1
    everywhere: bool = False


def tried(case: Case, injection: Injection) -> list[str]:
    """Make it, look, and put it right; what was not as it should be."""
    began = time.monotonic()
    try:
        injection.make(case)
        made = time.monotonic()
        missing = case.named()
        named = time.monotonic()
    finally:
        case.clear()
    print(f"{case.fault.name:22} made in {made - began:4.1f} s, named after {named - made:4.1f} s, "
          f"gone after {time.monotonic() - named:4.1f} s")  # fmt: skip
    return missing
