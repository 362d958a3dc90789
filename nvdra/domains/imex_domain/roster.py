"""The roster of one clique as it should be: who holds which index, where its daemon is, what is waited for. Pure.

An index is a node's place in IMEX for the life of the domain: peers hold memory under it, so it is not moved and not
given again while another is unused (#948, #1417, #1418).
"""

from collections.abc import Collection, Iterable, Mapping

import attrs
from attrs import define, field, frozen

from nvdra.api.computedomain import RetiredIndex, RosterEntry
from nvdra.api.membership import Member
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot


@frozen
class Plan:
    """The entries, who is retired, and who found no index: `taken_over` maps a node to the retired one it displaces."""

    entries: tuple[RosterEntry, ...]
    retired: tuple[RetiredIndex, ...]
    taken_over: Mapping[str, RetiredIndex] = field(factory=dict)
    crowded: tuple[str, ...] = ()


def plan(seen: ImexDomainSnapshot, limit: int, now: str, kept: Collection[str] = ()) -> Plan:
    """Who holds which index from now on. `limit`: nodes an IMEX domain may have; `now`: RFC 3339.

    `kept`: retired nodes whose index cannot be taken over, for their daemons are still there.
    """
    if not seen.clique:
        return Plan(tuple(_entry(seen, member, -1) for member in seen.members), ())
    book = attrs.evolve(_Book.of(seen, limit), kept=kept)
    book.retire([name for name in book.held if name not in {member.name for member in seen.members}], now)
    for member in seen.members:
        book.give(member.name)
    entries = [_entry(seen, member, book.held.get(member.name, -1)) for member in seen.members]
    return Plan(
        entries=tuple(sorted(entries, key=lambda e: (e.index < 0, e.index, e.nodeName))),
        retired=tuple(sorted(book.retired.values(), key=lambda r: r.index)),
        taken_over=book.taken_over,
        crowded=tuple(book.crowded),
    )


@define
class _Book:
    """Indices while a plan is made."""

    limit: int
    held: dict[str, int]
    retired: dict[str, RetiredIndex]
    kept: Collection[str] = ()
    taken_over: dict[str, RetiredIndex] = field(factory=dict)
    crowded: list[str] = field(factory=list)

    @classmethod
    def of(cls, seen: ImexDomainSnapshot, limit: int) -> "_Book":
        """From the roster; where it is lost, from the ComputeDomain's status."""
        if seen.roster is not None:
            held = {e.nodeName: e.index for e in seen.roster.daemons if e.index >= 0}
            return cls(limit, held, _by_node(seen.roster.retired))
        if seen.remembered is not None:
            held = {name: index for index, name in enumerate(seen.remembered.members) if name}
            return cls(limit, held, _by_node(seen.remembered.retired))
        return cls(limit, {}, {})

    def retire(self, gone: Iterable[str], now: str) -> None:
        for name in gone:
            self.retired[name] = RetiredIndex(name, self.held.pop(name), now)

    def give(self, name: str) -> None:
        if name in self.held:
            return
        if name in self.retired:  # it comes back to its old place
            self.held[name] = self.retired.pop(name).index
            return
        used = {*self.held.values(), *(retired.index for retired in self.retired.values())}
        unused = next((index for index in range(self.limit) if index not in used), None)
        if unused is not None:
            self.held[name] = unused
            return
        self._take_over(name)

    def _take_over(self, name: str) -> None:
        free = [retired for retired in self.retired.values() if retired.nodeName not in self.kept]
        oldest = min(free, key=lambda retired: (retired.since, retired.index), default=None)
        if oldest is None:
            self.crowded.append(name)
            return
        del self.retired[oldest.nodeName]
        self.held[name] = oldest.index
        self.taken_over[name] = oldest


def _by_node(retired: Iterable[RetiredIndex]) -> dict[str, RetiredIndex]:
    return {entry.nodeName: entry for entry in retired}


def _entry(seen: ImexDomainSnapshot, member: Member, index: int) -> RosterEntry:
    before = seen.roster.entry(member.name) if seen.roster else None
    ready = member.ready and (index >= 0 or not seen.clique)
    return RosterEntry(
        nodeName=member.name,
        ipAddress=member.address,
        cliqueID=seen.clique,
        index=index,
        status="Ready" if ready else "NotReady",
        message="" if ready else member.why,
        served=ready or (before is not None and before.served and before.claim == member.claim),
        claim=member.claim,
        pod=member.pod,
    )
