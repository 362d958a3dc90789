"""A statechart as a Markdown page: purpose, facts, picture, states as sentences, orders, announcements."""

from collections.abc import Iterable, Iterator, Sequence

from nvdra.core.orders import Order
from nvdra.core.statechart import State, Statechart
from nvdra.core.table import Leaf, compile_table
from nvdra.draw.mermaid import diagram
from nvdra.draw.sentences import duration, sentences


def page(chart: Statechart, source: str) -> str:
    """The whole page. `source`: the file that it was made from, as a link target."""
    return "\n".join(_lines(chart, source)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def announcements(chart: Statechart) -> Iterator[tuple[str, str, str]]:
    """Every announcement: its reason, when it is made, and what it is about."""
    for leaf in compile_table(chart).leaves.values():
        if leaf.announce:
            yield leaf.announce, f"on entering {leaf.name}", leaf.about
        for seconds, reason in leaf.after.items():
            yield reason, f"still in {leaf.name} after {duration(seconds)}", "it waits, and the text says for what"


def _lines(chart: Statechart, source: str) -> Iterator[str]:
    leaves = compile_table(chart).leaves.values()
    yield from (f"# {chart.name}", "", f"<!-- made by `make docs` from {source}; edit that -->", "")
    yield from (chart.about, "", f"The file: [{source.rpartition('/')[2]}]({source}).", "")
    yield from ("## Facts", "")
    yield from table(("fact", "it holds when"), ((f"`{name}`", said) for name, said in chart.facts.items()))
    yield from ("", "## Picture", "", "```mermaid", *diagram(chart).splitlines(), "```", "")
    yield from ("## States", "", f"It begins in {chart.initial}.", "")
    for state in chart.states.values():
        yield from _state(state, 0)
    yield from ("", "## Orders and reports", "", "What stands in each leaf, with what it inherits.", "")
    yield from table(("state", "kept present", "kept absent", "report"), map(_leaf, leaves))
    told = list(announcements(chart))
    if told:
        yield from ("", "## Announcements", "")
        yield from table(("reason", "when", "meaning"), ((f"`{reason}`", when, about) for reason, when, about in told))


def _state(state: State, depth: int) -> Iterator[str]:
    said = [state.about, *sentences(state)]
    yield f"{'  ' * depth}- **{state.name}**: {' '.join(part for part in said if part)}"
    for inner in state.states.values():
        yield from _state(inner, depth + 1)


def _leaf(leaf: Leaf) -> tuple[str, str, str, str]:
    return f"`{leaf.name}`", _things(leaf.orders, "present"), _things(leaf.orders, "absent"), leaf.report


def _things(orders: Iterable[Order], verb: str) -> str:
    return ", ".join(order.thing for order in orders if order.verb == verb)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
