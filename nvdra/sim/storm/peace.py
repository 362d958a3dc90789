"""What must be so when the storm is over: everything converges, every deletion ends, nothing is left, nobody writes."""

from typing import Any

from attrs import frozen

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.kinds import (
    CLAIM_TEMPLATES,
    COMPUTE_DOMAINS,
    DAEMON_SETS,
    NETWORK_POLICIES,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    ROSTERS,
)
from nvdra.sim.kube.shapes import annotations, deleting, dig, labels, name, namespace, phase
from nvdra.sim.storm.node import CDI, DOMAINS, RECORDS
from nvdra.sim.storm.pods import RUNS_FOR
from nvdra.sim.storm.world import World


@frozen
class Peace:
    """Asks of a world that is left alone."""

    world: World

    def unsettled(self) -> list[str]:
        """What has not converged yet: deletions that go on, workers that are held without need, wrong words."""
        found = [f"node {node.name} has no working plugin" for node in self.world.nodes.values() if not _serves(node)]
        slices = {dig(body, "spec", "nodeName") for body in self.world.view.all(RESOURCE_SLICES)}
        found += [f"{name_} publishes no devices" for name_ in self.world.nodes if name_ not in slices]
        guarded = {labels(body).get(names.DOMAIN_LABEL) for body in self.world.view.all(NETWORK_POLICIES)}
        for domain in self.world.view.all(COMPUTE_DOMAINS):
            called, uid = name(domain), domain["metadata"]["uid"]
            if deleting(domain):
                found.append(f"ComputeDomain {called} is still being deleted")
                continue
            if names.FINALIZER not in (domain["metadata"].get("finalizers") or ()):
                found.append(f"ComputeDomain {called} has no finalizer")
            if uid not in guarded:
                found.append(f"ComputeDomain {called} has no network policy")
            found += self._held(domain, uid)
        pods = self.world.view.all(PODS)
        found += [f"pod {name(pod)} will end by itself" for pod in pods if _runs(pod) and RUNS_FOR in annotations(pod)]
        return found + [f"pod {name(pod)} is still ending" for pod in pods if deleting(pod)]

    def _held(self, domain: dict[str, Any], uid: str) -> list[str]:
        view, called = self.world.view, name(domain)
        users = {pod["metadata"]["uid"]: pod for pod in view.all(PODS)}
        bound = []
        for claim in view.claims(uid):
            for user in dig(claim, "status", "reservedFor") or ():
                pod = users.get(user["uid"])
                if pod is not None and dig(pod, "spec", "nodeName") and phase(pod) not in ("Succeeded", "Failed"):
                    bound.append(pod)
        nodes = {pod["spec"]["nodeName"] for pod in bound}
        if len(nodes) < (view.wanted(uid) or 0) or not nodes:
            return []
        late = [name(pod) for pod in bound if phase(pod) != "Running"]
        found = [f"{', '.join(late)} do not run, though {len(nodes)} nodes are there for {called}"] if late else []
        said = dig(domain, "status", "status")
        return (
            [*found, f"{called} is {said}, though all its nodes are there"] if said != "Ready" and not late else found
        )

    def left(self) -> list[str]:
        """What is still there of ours when users have taken everything away."""
        view = self.world.view
        kinds: tuple[Kind[Any], ...] = (COMPUTE_DOMAINS, ROSTERS, CLAIM_TEMPLATES, RESOURCE_CLAIMS, PODS)
        found = [f"{kind.kind} {namespace(body)}/{name(body)}" for kind in kinds for body in view.all(kind)]
        for owned in (DAEMON_SETS, NETWORK_POLICIES):
            found += [f"{owned.kind} {name(body)}" for body in view.all(owned)]
        ours = {names.DOMAIN_LABEL, names.CLIQUE_LABEL, names.JOIN_LABEL}
        for labelled, those in view.labels():
            found += [f"label {label} of {labelled}" for label in sorted(ours & set(those))]
        for node in self.world.nodes.values():
            disk = node.disk
            for folder in (CDI, RECORDS, DOMAINS):
                found += [f"{folder}/{file} on {node.name}" for file in disk.below(folder)]
            found += [f"device {path} on {node.name}" for path in disk.devices]
            found += [f"container of {name(dict(c.pod))} on {node.name}" for c in node.containers.values()]
            found += [f"nvidia-imex on {node.name}"] if node.session is not None else []
        return found

    def remembered(self) -> list[str]:
        """What the controllers and plugins still keep in mind, though nothing of it is there."""
        engines = {f"plugin@{n.name}": n.engine for n in self.world.nodes.values() if n.plugin.alive and n.engine}
        engines |= {
            life.name: self.world.engines[life.name]
            for life in self.world.controllers
            if life.alive and life.name in self.world.engines
        }
        return [f"{who} remembers {key}" for who, engine in engines.items() for key in engine.cells]


def _runs(pod: dict[str, Any]) -> bool:
    return phase(pod) == "Running"


def _serves(node: Any) -> bool:
    return node.plugin.alive and node.door is not None and node.door.registered is not None
