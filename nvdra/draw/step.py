"""A settle told as a story: where one began, why each edge was taken, what stands now, what is waited for."""

from collections.abc import Iterator

from nvdra.core.findings import Finding
from nvdra.core.machine import Step
from nvdra.core.statechart import Statechart
from nvdra.core.waits import waits_for


def story(chart: Statechart, start: str, step: Step, facts: frozenset[str]) -> str:
    """The step in lines."""
    return "\n".join(_lines(chart, start, step, facts)) + "\n"


def waits(chart: Statechart, step: Step, facts: frozenset[str]) -> Iterator[str]:
    """Each fact that the way forward still lacks, or that has to cease, with its sentence."""
    findings = {name: Finding(name in facts) for name in chart.facts}
    for name in waits_for(step.leaf, findings):
        yield f"{'not ' if name in facts else ''}{name} ({chart.facts[name]})"


def _lines(chart: Statechart, start: str, step: Step, facts: frozenset[str]) -> Iterator[str]:
    held = [name for name in chart.facts if name in facts]
    yield f"facts:   {', '.join(held) or 'none holds'}"
    yield f"from:    {start}"
    yield from (f"  → {edge.target}  because {edge.because} ({edge.kind})" for edge in step.path)
    leaf = step.leaf
    yield f"in:      {leaf.name}{f': {leaf.about}' if leaf.about else ''}"
    yield f"orders:  {'; '.join(map(str, leaf.orders)) or 'none'}"
    yield f"report:  {leaf.report or 'nothing'}"
    if leaf.final:
        yield "ends:    here; the object is forgotten"
        return
    yield f"waits:   {'; '.join(waits(chart, step, facts)) or 'for nothing'}"
