"""The account as text for people, in a hundred columns. Pure."""

import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from nvdra.explain.account import Account, EventTold, FactTold, LifeTold, NodeTold, PodTold

WIDTH: Final = 100
MOST_NODES: Final = 20
"""So many nodes are shown whole, those that are late first; -o json has all of them."""
_MARKS: Final = {True: "✓", False: "✗", None: "?"}


def text_of(account: Account) -> str:
    """All of it."""
    return "\n".join(_lines(account)) + "\n"


def ago(since: str, now: float) -> str:
    """`3m 5s` since an RFC 3339 time; "" when it is not known."""
    if not since:
        return ""
    seconds = max(0, int(now - datetime.fromisoformat(since).timestamp()))
    for unit, size, rest, below in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // below}{rest}"
    return f"{seconds}s"


def _lines(account: Account) -> Iterator[str]:
    lasting = ago(account.since, account.now)
    yield f"ComputeDomain {account.domain}: {account.status}{f' for {lasting}' if lasting else ''}"
    yield from _field("waits", account.waits or "for nothing", 2)
    for number, todo in enumerate(account.todo):
        yield from _field("" if number else "do next", todo, 2)
    for unread in account.unread:
        yield from _field("not read", unread, 2)
    for life in account.lives:
        yield from ("", *_life(life, account.now))
    yield from ("", *_field("IMEX ports", account.guard, 0, 12)) if account.guard else ()
    if account.nodes:
        yield from ("", "nodes")
        yield from _nodes(account)
    if account.unplaced:
        yield from ("", "workers without a node")
        for pod in account.unplaced:
            yield from _pod("worker", pod, account.now)
    if account.conditions:
        yield from ("", "conditions")
        for c in account.conditions:
            lasting = ago(c.since, account.now)
            yield from _field(f"{c.type}={c.status}", f"{c.reason} for {lasting or '?'}: {c.message}", 2, 24)
    if account.events:
        yield from ("", "events")
        yield from _events(account.events, account.now, 2)


def _life(life: LifeTold, now: float) -> Iterator[str]:
    yield f"{life.statechart}: {life.subject}"
    about = f"{life.state}{f': {life.about}' if life.about else ''}"
    yield from _field("state", about, 2)
    for fact in life.facts:
        yield from _fact(fact)
    if life.path:
        yield from _field("path", " → ".join(life.path), 2)
    yield from _field("orders", "; ".join(life.orders) or "none", 2)
    lasting = ago(life.since, now)
    for number, wait in enumerate(life.waits):
        head = "" if number else f"for {lasting}, " if lasting else ""
        yield from _field("" if number else "waits", f"{head}{wait}", 2)


def _fact(fact: FactTold) -> Iterator[str]:
    yield from _field(f"{_MARKS[fact.holds]} {fact.name}", _said(fact), 2, 16)
    if fact.source:
        yield from _field("", f"read from {fact.source}", 2, 16)


def _said(fact: FactTold) -> str:
    return fact.because or (fact.sentence if fact.holds else f"not so: {fact.sentence}")


def _nodes(account: Account) -> Iterator[str]:
    late = sorted(account.nodes, key=_well)
    for node in late[:MOST_NODES]:
        yield from _node(node, account.now)
    if len(late) > MOST_NODES:
        rest = late[MOST_NODES:]
        unwell = sum(not _well(node) for node in rest)
        yield f"  and {len(rest)} more, {unwell} of them not ready (-o json shows all)"


def _well(node: NodeTold) -> bool:
    return node.stands == "is ready" and not node.plugin and all(pod.stands == "ready" for pod in node.workers)


def _node(node: NodeTold, now: float) -> Iterator[str]:
    place = f", clique {node.clique}" if node.clique else ""
    index = f", index {node.index}" if node.index >= 0 else ""
    yield from _field(node.name, f"{node.stands}{place}{index}", 2)
    if node.roster and node.stands != "is ready":
        yield from _field("roster", node.roster, 4)
    if node.plugin:
        yield from _field("plugin", node.plugin, 4)
    for pod in node.daemons:
        yield from _pod("daemon", pod, now)
    for pod in node.workers:
        yield from _pod("worker", pod, now)


def _pod(role: str, pod: PodTold, now: float) -> Iterator[str]:
    yield from _field(role, f"Pod {pod.path}: {pod.stands}", 4)
    for claim in pod.claims if pod.stands != "ready" else ():
        yield from _field("", claim, 4)
    yield from _events(pod.events, now, 14)


def _events(events: Iterable[EventTold], now: float, indent: int) -> Iterator[str]:
    for event in events:
        times = f" ({event.count} times)" if event.count > 1 else ""
        lasting = ago(event.at, now)
        head = f"{lasting} ago " if lasting else ""
        yield from _field("", f"{head}{event.reason}{times}, {event.teller}: {event.message}", indent, 0)


def _field(name: str, text: str, indent: int, room: int = 10) -> Iterator[str]:
    """`name  text`, the text hanging; a name that is too long has a line of its own."""
    first = f"{' ' * indent}{name:<{room}}"
    hang = " " * (indent + room) if room else " " * (indent + 2)
    if room and len(name) >= room:
        yield first.rstrip()
        first = hang
    lines = textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=hang,
        break_on_hyphens=False,
        break_long_words=False,
    )
    yield from lines or [first.rstrip()]
