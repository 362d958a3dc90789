"""What else is measured on a bed: two workers, a daemon that is ready late, memory. And the page that shows it all."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nvdra.api import names
from tests.bench.table import machine
from tests.cluster import leftovers
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster, run
from tests.cluster.view import Film, Shot, User, runs
from tests.cluster.workloads import domain, worker

PAGE = Path(__file__).resolve().parents[2] / "docs/real-cluster.md"
BEGIN = "<!-- generated: python -m tests.cluster.measure 10 --doc -->"
END = "<!-- end of generated -->"
LATE = 60.0
GO = {
    "worker scheduled, claim allocated": "266",
    "node labelled": "833",
    "daemon pod scheduled": "903",
    "daemon container running": "1,684",
    "its address is in the roster": "1,940",
    "daemon pod ready": "2,588",
    "domain Ready": "4,133",
    "worker's container running": "4,580",
    "delete: daemon pod gone": "2,300",
    "two workers on two nodes: both running": "4,780",
    "two workers: all gone after their deletion": "3,700",
    f"IMEX ready only after {LATE:.0f} s: worker running": "130,000",
}
"""Of the Go driver, on the same bed (reference-driver.md §13), in ms."""
PROCESSES = {
    "controller": "nvdra controller",
    "kubelet-plugin": "nvdra kubelet-plugin",
    "imex-daemon": "nvdra imex-daemon",
}
GO_MEMORY = {"controller": "46", "kubelet-plugin": "57", "imex-daemon": "42"}


async def of_two(bed: Cluster, user: User, film: Film) -> dict[str, float]:
    """Two workers that need each other, from the command to both, and from their deletion to nothing."""
    begun = time.monotonic()
    await asyncio.to_thread(user.apply, domain("two", 2), worker("two", 1), worker("two", 2))
    both = max([(await film.first("a worker runs", runs(f"two-{n}"), begun)).at for n in (1, 2)])
    await asyncio.sleep(1)
    deleted = time.monotonic()
    await asyncio.to_thread(user.kubectl, "delete", "pod/two-1", "pod/two-2", "computedomain/two", "--wait=false")
    await film.first("the last daemon is gone", _counts_gone(deleted, 2), deleted)
    gone = time.monotonic()
    await asyncio.to_thread(leftovers.all_gone, bed, user)
    return {
        "two workers on two nodes: both running": (both - begun) * 1000,
        "two workers: all gone after their deletion": (gone - deleted) * 1000,
    }


async def of_late(bed: Cluster, user: User, film: Film) -> dict[str, float]:
    """A worker whose IMEX is ready only after a minute."""
    for node in bed.layout.all_nodes:
        hardware.imex_acts(node, json.dumps({"ready_after": LATE}))
    begun = time.monotonic()
    await asyncio.to_thread(user.apply, domain("late", 1), worker("late", 1))
    at = (await film.first("the worker runs", runs("late-1"), begun, limit=LATE + 120)).at
    for node in bed.layout.all_nodes:
        hardware.imex_acts(node, "{}")
    held = memory(bed)
    await asyncio.to_thread(user.kubectl, "delete", "pod/late-1", "computedomain/late", "--timeout=60s")
    await asyncio.to_thread(leftovers.all_gone, bed, user)
    return {f"IMEX ready only after {LATE:.0f} s: worker running": (at - begun) * 1000, **held}


def memory(bed: Cluster) -> dict[str, float]:
    """MB resident of each kind of process; the largest of its kind."""
    listed = run(bed.on_node(1, "ps", "-eo", "rss=,args="))
    found: dict[str, float] = {}
    for line in listed.splitlines():
        rss, _, words = line.strip().partition(" ")
        for name, part in PROCESSES.items():
            if part in words and "bash" not in words:
                found[f"memory: {name}"] = max(found.get(f"memory: {name}", 0.0), int(rss) * 1024 / 1e6)
    return found


def _counts_gone(since: float, wanted: int) -> Callable[[Shot], bool]:
    gone: set[str] = set()

    def enough(shot: Shot) -> bool:
        labels = shot.object["metadata"].get("labels", {})
        if (
            shot.object["kind"] == "Pod"
            and shot.type == "DELETED"
            and names.DOMAIN_LABEL in labels
            and shot.at >= since
        ):
            gone.add(shot.name)
        return len(gone) >= wanted

    return enough


def page(rounds: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]], release: str) -> str:
    """The section of the page, between its marks."""
    rows = [(what, [one[what] for one in rounds]) for what in rounds[0]]
    rows += [
        (what, [one[what] for one in others if what in one]) for what in dict.fromkeys(k for o in others for k in o)
    ]
    lines = [
        BEGIN,
        f"Kubernetes {release}, installed by Helm; {machine()}.",
        "",
        "| from `kubectl apply` (or `delete`) | median, ms | least | most | rounds | Go driver |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for what, times in rows:
        if not what.startswith("memory"):
            figures = " | ".join(f"{value:,.0f}" for value in (statistics.median(times), min(times), max(times)))
            lines.append(f"| {what} | {figures} | {len(times)} | {GO.get(what, '')} |")
    lines += ["", "| resident memory | MB | Go driver |", "| --- | ---: | ---: |"]
    for what, held in rows:
        if what.startswith("memory"):
            name = what.partition(": ")[2]
            lines.append(f"| {name} | {max(held):.0f} | {GO_MEMORY[name]} |")
    return "\n".join([*lines, END])


def write(section: str) -> None:
    """Put it into the page."""
    text = PAGE.read_text()
    if BEGIN in text:
        text = text[: text.index(BEGIN)] + section + text[text.index(END) + len(END) :]
    else:
        text = text.rstrip() + "\n\n" + section + "\n"
    PAGE.write_text(text)
