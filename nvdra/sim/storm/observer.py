"""Who watches: every commit, every change of a disk, every container that starts is held against what must never be.

It reads the world (the store's objects, the disks), never the driver's memory.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from attrs import define, field

from nvdra.api import names
from nvdra.sim.apiserver.collection import Change
from nvdra.sim.storm import foreign
from nvdra.sim.storm.clockwork import clock
from nvdra.sim.storm.imex import Instance
from nvdra.sim.storm.node import CDI, RECORDS, Container, Node
from nvdra.sim.storm.trace import Trace
from nvdra.sim.storm.view import View

CHANNELS: Final = "/dev/nvidia-caps-imex-channels/"
LATELY: Final = 600.0
Json = Mapping[str, Any]


class Seen(Protocol):
    """The world as its observer needs it."""

    trace: Trace
    view: View
    nodes: dict[str, Node]
    writer: str
    forced: set[str]

    def broken(self, text: str) -> None:
        """Tell."""
        ...


@define(eq=False)
class Observer:
    """All safety checks. `ready`: most nodes of a domain that were ready at one moment. `may_go`: node and claim."""

    world: Seen
    ready: dict[str, int] = field(factory=dict)
    may_go: set[tuple[str, str]] = field(factory=set)
    released: set[tuple[str, str]] = field(factory=set)
    labelled: dict[tuple[str, str], float] = field(factory=dict)
    indices: dict[tuple[str, str, int], Instance] = field(factory=dict)

    def saw(self, change: Change) -> None:
        """Something was written to the API, by the world's writer of this moment."""
        new, plural = change.entry.object, change.entry.resource.plural
        old: Json | None = change.old.object if change.old else None
        self._note(change, plural)
        foul = foreign.touched(self.world.writer, change.type, plural, old, new)
        if foul:
            self.world.broken(f"{self.world.writer} {foul}")
        if plural == "computedomains":
            self._finalizer(old, new, gone=change.type == "DELETED")
        if plural == "computedomaincliques" and change.type != "DELETED":
            self._roster(old, new)
        if plural == "nodes":
            self._label(old, new, gone=change.type == "DELETED")
        if plural in ("nodes", "pods", "computedomaincliques"):
            self._ledger()

    def _note(self, change: Change, plural: str) -> None:
        meta, writer = change.entry.meta, self.world.writer
        verb = {"ADDED": "creates", "MODIFIED": "writes", "DELETED": "ends"}[change.type]
        place = f"{meta.get('namespace', '')}/{meta['name']}".lstrip("/")
        if plural not in ("leases", "events"):
            self.world.trace.note("write", f"{verb} {plural} {place} v{change.entry.version}", writer, to="API")

    # What the API says.

    def _finalizer(self, old: Json | None, new: Json, *, gone: bool) -> None:
        """Released only when nothing of ours is left."""
        had = old is not None and names.FINALIZER in (old["metadata"].get("finalizers") or ())
        has = not gone and names.FINALIZER in (new["metadata"].get("finalizers") or ())
        uid = new["metadata"]["uid"]
        if not had or has or uid in self.world.forced:
            return
        left = self.world.view.left_of(uid)
        if left:
            self.world.broken(f"the finalizer of {new['metadata']['name']} is released while {', '.join(left)} is left")

    def _roster(self, old: Json | None, new: Json) -> None:
        """No index twice; formed only when so many nodes were ready at once."""
        entries, domain = new.get("daemons") or (), new["metadata"]["labels"][names.DOMAIN_LABEL]
        held = [entry["index"] for entry in entries if entry["index"] >= 0]
        held += [gone["index"] for gone in new.get("retired") or ()]
        if len(set(held)) != len(held):
            self.world.broken(f"an index of roster {new['metadata']['name']} is held twice: {held}")
        if new.get("formed") and not (old or {}).get("formed"):
            wanted = self.world.view.wanted(domain)
            most = self.ready.get(domain, 0)
            if wanted is not None and most < wanted:
                self.world.broken(f"{domain} is said to have formed, but at most {most} of {wanted} nodes were ready")

    def _label(self, old: Json | None, new: Json, *, gone: bool) -> None:
        """A label that a plugin put stands for a record on that node's disk."""
        labels = {} if gone else new["metadata"].get("labels") or {}
        before = ((old or {}).get("metadata") or {}).get("labels") or {}
        domain, claim = labels.get(names.DOMAIN_LABEL), labels.get(names.JOIN_LABEL, "")
        self._robbed(new["metadata"]["name"], before, labels)
        if domain is None or (domain, claim) == (before.get(names.DOMAIN_LABEL), before.get(names.JOIN_LABEL, "")):
            return
        node = self.world.nodes.get(new["metadata"]["name"])
        if node is not None and self.world.writer == f"plugin@{node.name}" and claim not in records_of(node):
            self.world.broken(f"{node.name} is labelled for claim {claim}, of which it has no record")

    def _robbed(self, name: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """The label of a stay that goes on, in a domain that lives, is nobody's to take."""
        domain, claim = before.get(names.DOMAIN_LABEL), before.get(names.JOIN_LABEL)
        node = self.world.nodes.get(name)
        if domain == after.get(names.DOMAIN_LABEL) or node is None or not self.world.writer.startswith(foreign.OURS):
            return
        record = records_of(node).get(claim or "")
        if record is not None and not record["leaving"] and self.world.view.lives(domain or ""):
            self.world.broken(f"{self.world.writer} takes the label of {name} from {domain}, whose claim goes on")

    def _ledger(self) -> None:
        """Who was ready together, and which worker may go, as of this moment."""
        view, now = self.world.view, clock()
        for name, labels in view.labels():
            if names.DOMAIN_LABEL in labels:
                self.labelled[labels[names.DOMAIN_LABEL], name] = now
        for domain in view.domains():
            ready = view.ready_nodes(domain)
            lately = sum(now - self.labelled.get((domain, name), -1e9) < LATELY for name in ready)
            self.ready[domain] = max(self.ready.get(domain, 0), lately)
        self.may_go |= view.ready_claims()

    # What disks say.

    def disk(self, node: Node, path: str) -> None:
        """A node's disk has changed at that path."""
        if path.startswith((RECORDS, CDI, CHANNELS)):
            self._disk(node)

    def _disk(self, node: Node) -> None:
        records = records_of(node)
        channels = [uid for uid, record in records.items() if record["kind"] == "channel"]
        if len(channels) > 1:
            self.world.broken(f"{node.name} has records of two channel claims: {channels}")
        stray = [uid for uid in exposed(node) if uid not in records]
        if stray:
            self.world.broken(f"{node.name} has CDI files without a record: {stray}")
        made = {minor for record in records.values() for minor in record["made"]}
        nodes = [path for path in node.disk.devices if path.startswith(CHANNELS)]
        if [path for path in nodes if int(path.removeprefix(f"{CHANNELS}channel")) not in made]:
            self.world.broken(f"{node.name} has device nodes that no record stands for: {nodes}")
        for uid in channels:
            self._release(node, uid, records[uid])
        self._forgotten(node, records)

    def _release(self, node: Node, uid: str, record: Json) -> None:
        """A worker is let go only after its domain and its node were ready, since it joined."""
        key = (node.name, uid)
        if not record["released"] or record["leaving"]:
            self.released.discard(key)
            return
        if key not in self.released and key not in self.may_go:
            self.world.broken(
                f"the worker of claim {record['name']} on {node.name} is let go before its domain is ready"
            )
        self.released.add(key)

    def _forgotten(self, node: Node, records: Json) -> None:
        """A record goes last: after the label that it stands for."""
        labels = dict(self.world.view.labels()).get(node.name, {})
        claim = labels.get(names.JOIN_LABEL)
        for name, uid in [key for key in self.may_go if key[0] == node.name and key[1] not in records]:
            self.may_go.discard((name, uid))
            self.released.discard((name, uid))
            if claim == uid and names.DOMAIN_LABEL in labels:
                self.world.broken(f"the record of claim {uid} on {node.name} is lost while the node's label stands")

    # What runs.

    def worker(self, node: Node, container: Container) -> None:
        """A worker's container starts."""
        records = records_of(node)
        name = container.pod["metadata"]["name"]
        for claim in container.claims:
            record = records.get(claim)
            if record is None or not record["released"]:
                self.world.broken(f"worker {name} starts on {node.name}, and claim {claim} is not let go")
        if not any(path.startswith(CHANNELS) for path in container.devices):
            return
        for other in node.containers.values():
            shares = set(other.claims) & set(container.claims)
            if other is container or other.ended is not None or other.daemon is not None or shares:
                continue
            if any(path.startswith(CHANNELS) for path in other.devices):
                self.world.broken(
                    f"two claims on {node.name} have a channel: of {name} and of {other.pod['metadata']['name']}"
                )

    def imex(self, node: Node, instance: Instance) -> None:
        """An nvidia-imex takes its place in a domain."""
        key = (instance.program.domain, instance.program.clique, instance.index)
        other = self.indices.get(key)
        if other is not None and other.alive and other.program.node != node.name:
            self.world.broken(f"index {key[2]} of {key[0]} is held by {other.program.node} and by {node.name}")
        self.indices[key] = instance


def records_of(node: Node) -> dict[str, Json]:
    """The claim records on a node's disk."""
    files = node.disk.files
    return {
        name.removesuffix(".json"): json.loads(files[f"{RECORDS}/{name}"])
        for name in node.disk.below(RECORDS)
        if name.endswith(".json")
    }


def exposed(node: Node) -> list[str]:
    """Claims that have a CDI file on a node."""
    return [name.rpartition("_")[2].removesuffix(".json") for name in node.disk.below(CDI)]
