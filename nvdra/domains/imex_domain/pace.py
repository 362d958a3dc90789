"""How long a change of a roster may wait for more changes: each write goes to two watchers on every node. Pure."""

from typing import Final

from nvdra.api.computedomain import Roster
from nvdra.api.membership import IN_TROUBLE
from nvdra.domains.imex_domain.facts import FORMED
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot
from nvdra.engine.burst import AT_ONCE, Pace

GATHERING: Final = Pace(quiet=1.0, limit=5.0)
PATIENT: Final = Pace(quiet=40.0, limit=40.0)
"""Nodes that come over minutes: of a rack's list that fills so, these are four writes and not eighteen."""
ADDRESSING: Final = Pace(quiet=0.5, limit=1.0)
JOINING: Final = Pace(quiet=0.15, limit=0.6)
GETTING_READY: Final = Pace(quiet=0.1, limit=0.3)
TALKING: Final = Pace(quiet=3.0, limit=6.0)
TALKS_A_SECOND: Final = 10
TOGETHER: Final = 6
"""So many new places are worth a write while others are still missing: a third of a rack, or of a smaller domain."""


def pace_of(seen: ImexDomainSnapshot, wanted: Roster) -> Pace:
    """At once what somebody waits for and is complete; in bursts what goes on; slowly what is only said."""
    old = seen.roster
    if old is not None and wanted.formed and not old.formed:
        return AT_ONCE
    if old is None or _places(wanted) != _places(old):
        return _pace_of_places(seen, wanted)
    if wanted.formed and [e.status for e in wanted.daemons] != [e.status for e in old.daemons]:
        return AT_ONCE if wanted.status == "Ready" else GETTING_READY  # with the last one, nobody else is waited for
    return pace_of_talk(seen, wanted)


def pace_of_talk(seen: ImexDomainSnapshot, wanted: Roster) -> Pace:
    """What is waited for is said in every roster of the domain: the more there are, the less often, ten a second.

    That nodes come one after another and start is no news; why one of them does not is.
    """
    if _fills(seen, wanted) and _worth(seen) > 1 and not _troubled(seen, wanted):
        return PATIENT
    cliques = seen.domain.status.imexDomainCount if seen.domain else 0
    quiet = max(TALKING.quiet, cliques / TALKS_A_SECOND)
    return Pace(quiet, max(TALKING.limit, 2 * quiet))


def _pace_of_places(seen: ImexDomainSnapshot, wanted: Roster) -> Pace:
    """A daemon can do nothing without addresses, and each change of them later has it make all connections anew.

    Until the domain has formed nobody runs, so as long as nodes are missing there is time to wait for more of them.
    """
    expected = _expected(seen)
    addressed = all(entry.ipAddress for entry in wanted.daemons if entry.cliqueID)
    if addressed and 0 < expected <= seen.joined:
        return AT_ONCE
    if not expected or wanted.formed:
        return JOINING if addressed else ADDRESSING
    old = seen.roster
    first = old is None or not any(entry.ipAddress or not entry.cliqueID for entry in old.daemons)
    if first or not _fills(seen, wanted) or _moved(old, wanted) >= _worth(seen):
        return GATHERING
    return pace_of_talk(seen, wanted)


def _fills(seen: ImexDomainSnapshot, wanted: Roster) -> bool:
    """Nodes are missing without which the domain does not form: a write that waits holds nobody back."""
    return not wanted.formed and seen.joined < _expected(seen)


def _worth(seen: ImexDomainSnapshot) -> int:
    return max(1, min(TOGETHER, _expected(seen) // 3))


def _expected(seen: ImexDomainSnapshot) -> int:
    return seen.domain.spec.numNodes if seen.domain else 0


def _troubled(seen: ImexDomainSnapshot, wanted: Roster) -> bool:
    """Some node of the domain is late for another reason than that it has just come, or there is no room for it."""
    condition = seen.domain.condition(FORMED) if seen.domain else None
    crowded = any(entry.index < 0 and entry.cliqueID for entry in wanted.daemons)
    return crowded or (condition is not None and condition.reason == IN_TROUBLE)


def _moved(old: Roster | None, wanted: Roster) -> int:
    """How many nodes are not where they were: come, gone, or at another address."""
    differ = set(_places(wanted)) ^ set(_places(old) if old else ())
    return len({name for name, *_ in differ})


def _places(roster: Roster) -> list[tuple[str, int, str, str]]:
    """Who is where, and for which stay."""
    return [(entry.nodeName, entry.index, entry.ipAddress, entry.claim) for entry in roster.daemons]
