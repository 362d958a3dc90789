"""The cluster as it is at this moment, read from the store without asking anybody."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.kinds import (
    CLAIM_TEMPLATES,
    COMPUTE_DOMAINS,
    DAEMON_SETS,
    NETWORK_POLICIES,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
    ROSTERS,
)
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.kube.shapes import deleting, holds

Json = Mapping[str, Any]


@define(eq=False)
class View:
    """Plain objects."""

    store: ObjectStore

    def all(self, kind: Kind[Any]) -> list[dict[str, Any]]:
        """Every object of a kind, in order of namespace and name."""
        ref = self.store.ref(kind.group, kind.version, kind.plural)
        entries = self.store.collection(ref).entries
        return [entries[key].object for key in sorted(entries)]

    def find(self, kind: Kind[Any], name: str, namespace: str = "") -> dict[str, Any] | None:
        """One object, or None."""
        ref = self.store.ref(kind.group, kind.version, kind.plural)
        entry = self.store.collection(ref).entries.get((namespace, name))
        return entry.object if entry else None

    def labels(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Nodes and their labels."""
        for node in self.all(NODES):
            yield node["metadata"]["name"], node["metadata"].get("labels") or {}

    def domains(self) -> list[str]:
        """Uids of all ComputeDomains."""
        return [domain["metadata"]["uid"] for domain in self.all(COMPUTE_DOMAINS)]

    def lives(self, uid: str) -> bool:
        """Whether there is such a domain, and nobody has deleted it."""
        return any(d["metadata"]["uid"] == uid and not deleting(d) for d in self.all(COMPUTE_DOMAINS))

    def wanted(self, uid: str) -> int | None:
        """A domain's numNodes; None when it is gone."""
        for domain in self.all(COMPUTE_DOMAINS):
            if domain["metadata"]["uid"] == uid:
                return int(domain["spec"].get("numNodes") or 0)
        return None

    def labelled(self, uid: str) -> dict[str, Mapping[str, str]]:
        """The nodes of a domain, with their labels."""
        return {name: labels for name, labels in self.labels() if labels.get(names.DOMAIN_LABEL) == uid}

    def ready_nodes(self, uid: str) -> list[str]:
        """Nodes that are ready for a domain: an IMEX daemon of it is ready there, or there is no fabric."""
        daemons = [
            pod["spec"].get("nodeName", "")
            for pod in self.all(PODS)
            if (pod["metadata"].get("labels") or {}).get(names.DOMAIN_LABEL) == uid
            and holds(pod, "Ready")
            and not deleting(pod)
        ]
        plain = [name for name, labels in self.labelled(uid).items() if names.CLIQUE_LABEL not in labels]
        return sorted({*daemons, *plain})

    def ready_claims(self) -> set[tuple[str, str]]:
        """Node and claim of every stay that the rosters call ready, in a domain that has formed."""
        labels = dict(self.labels())
        found = set()
        for roster in self.all(ROSTERS):
            domain = (roster["metadata"].get("labels") or {}).get(names.DOMAIN_LABEL)
            for entry in roster.get("daemons") or () if roster.get("formed") else ():
                node, claim = entry["nodeName"], entry.get("claim", "")
                there = labels.get(node, {})
                right = (there.get(names.DOMAIN_LABEL), there.get(names.JOIN_LABEL)) == (domain, claim)
                if entry["status"] == "Ready" and right:
                    found.add((node, claim))
        return found

    def left_of(self, uid: str) -> list[str]:
        """Everything of ours that carries a domain's label; daemons' pods are the DaemonSet controller's."""
        left = [f"the label of {name}" for name in self.labelled(uid)]
        for kind in (DAEMON_SETS, NETWORK_POLICIES, CLAIM_TEMPLATES, ROSTERS):
            found = [b["metadata"] for b in self.all(kind)]
            left += [
                f"{kind.kind} {m['name']}" for m in found if (m.get("labels") or {}).get(names.DOMAIN_LABEL) == uid
            ]
        return left

    def claims(self, uid: str) -> list[dict[str, Any]]:
        """Claims for channels of a domain."""
        return [
            claim
            for claim in self.all(RESOURCE_CLAIMS)
            if (claim["metadata"].get("labels") or {}).get(names.DOMAIN_LABEL) == uid
            and claim["metadata"]["namespace"] != names.DRIVER_NAMESPACE
        ]
