"""The driver with one rule broken: each patch takes a rule away where it stands in the code."""

from collections.abc import Callable

import attrs
import pytest

from nvdra.adapters.kube.reflector import Reflector
from nvdra.api import kinds
from nvdra.api.local import RECORDS
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.apps.recovery import Recovery
from nvdra.core.findings import Finding
from nvdra.domains.channel_claim import facts as channel_facts
from nvdra.domains.channel_claim import label as channel_label
from nvdra.domains.channel_claim import things as channel_things
from nvdra.domains.compute_domain import facts as domain_facts
from nvdra.domains.compute_domain import things as domain_things
from nvdra.domains.imex_domain import roster as imex_roster

Patch = pytest.MonkeyPatch


def worker_released_when_listed(patch: Patch) -> None:
    """A worker is let go as soon as the roster lists its node, formed or not."""

    def listed(seen):
        return Finding(seen.entry is not None and seen.entry.claim == seen.uid, "listed")

    patch.setattr(channel_facts, "readiness", listed)
    patch.setattr(channel_things, "readiness", listed)


def formed_when_joined(patch: Patch) -> None:
    """A domain counts as formed when enough nodes have joined, ready or not."""

    def joined(seen):
        return Finding(len(seen.members) >= seen.wanted_nodes, "joined")

    from nvdra.domains.compute_domain import status

    for module in (domain_facts, status):
        if hasattr(module, "has_formed"):
            patch.setattr(module, "has_formed", joined)


def index_given_again(patch: Patch) -> None:
    """A retired index is free for the next node."""

    def give(self, name):
        if name not in self.held:
            self.held[name] = next(i for i in range(self.limit) if i not in self.held.values())

    patch.setattr(imex_roster._Book, "give", give)


def node_always_free(patch: Patch) -> None:
    """A second channel claim is recorded while another is still on the node."""

    def free(seen, domain):
        return Finding(True, "free")

    patch.setattr(channel_facts, "vacancy", free)
    patch.setattr(channel_things, "vacancy", free)


def finalizer_without_a_look(patch: Patch) -> None:
    """The finalizer is released on what is remembered, and without draining."""

    async def nothing(self, meta):
        return

    patch.setattr(domain_things.Finalizer, "_nothing_left", nothing)
    by_name = domain_facts.FACTS.by_name
    patch.setitem(by_name, "drained", attrs.evolve(by_name["drained"], of=lambda seen: Finding(True)))


def label_written_over(patch: Patch) -> None:
    """A node is labelled for a domain whoever has it."""

    async def present(self, seen):
        if seen.record is not None and seen.label != seen.record.domain:
            node = await self.cluster.get(kinds.NODES, seen.node_name)
            from nvdra.api import names

            await self._patch(seen.node_name, seen.record, node.metadata.labels.get(names.DOMAIN_LABEL))

    patch.setattr(channel_label.NodeLabel, "present", present)


def no_record_ahead(patch: Patch) -> None:
    """A claim is recorded in memory only."""
    patch.setattr(channel_things.Record, "_put", lambda self, record: self.ports.store.put(RECORDS, record))


def record_goes_first(patch: Patch) -> None:
    """The label is believed to be off without being taken."""

    async def absent(self, seen):
        self.store.put(kinds.NODES, Node(Meta(name=seen.node_name)))

    patch.setattr(channel_label.NodeLabel, "absent", absent)


def nothing_read_at_start(patch: Patch) -> None:
    """A plugin that starts does not look for what it left."""
    patch.setattr(Recovery, "from_disk", lambda self: None)


def expired_watch_goes_on(patch: Patch) -> None:
    """After 410 a reflector follows from now on, without a list of what it missed."""
    adopt = Reflector._adopt

    def forgetful(self, listing):
        if self.has_synced:
            listing = attrs.evolve(listing, items=tuple(self._seen.values()))
        adopt(self, listing)

    patch.setattr(Reflector, "_adopt", forgetful)


MUTANTS: dict[str, Callable[[Patch], None]] = {
    mutant.__name__: mutant
    for mutant in (
        worker_released_when_listed,
        formed_when_joined,
        index_given_again,
        node_always_free,
        finalizer_without_a_look,
        label_written_over,
        no_record_ahead,
        record_goes_first,
        nothing_read_at_start,
        expired_watch_goes_on,
    )
}
