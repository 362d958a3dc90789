"""Which of the collected cluster tests run, in what order, and what is to be said about that at the end.

Every test runs on the newest release. An older one has those that are marked `every_release`; another cluster than our
bed (`NVDRA_TEST_KUBECONFIG`) has those that do not ask for the bed's nodes.
"""

import os
from pathlib import Path

import pytest

from tests.cluster.bed.versions import NEWEST, release

ELSEWHERE = os.environ.get("NVDRA_TEST_KUBECONFIG", "")
"""The kubeconfig of a cluster that is not ours, with the driver installed."""
KUBERNETES = release(os.environ.get("NVDRA_CLUSTER_KUBERNETES", NEWEST))
SAID = pytest.StashKey[list[str]]()


def say(config: pytest.Config, line: str) -> None:
    """A line for the end of the run."""
    config.stash.setdefault(SAID, []).append(line)


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, say so, and put last what speaks of the whole run."""
    if ELSEWHERE:
        _leave_out(config, items, [i for i in items if _on_a_cluster(i) and _needs_bed(i)],
                   f"need the nodes of the test bed; NVDRA_TEST_KUBECONFIG={ELSEWHERE} is another cluster")  # fmt: skip
    if release(NEWEST) != KUBERNETES:
        others = [i for i in items if _on_a_cluster(i) and i.get_closest_marker("every_release") is None]
        _leave_out(config, items, others, f"run on Kubernetes {NEWEST} only, this is {KUBERNETES.version}")
    items.sort(key=_place)


def partial(session: pytest.Session) -> str:
    """Why this run does not show all that the driver does on a cluster; "" when it was the whole of it, and all went well."""
    folder = Path(__file__).parent
    there = {file for place in (folder, folder.with_name("e2e")) for file in place.glob("test_*.py")}
    missing = sorted(str(file.relative_to(folder.parent)) for file in there - {item.path for item in session.items})
    if missing:
        return f"{', '.join(missing)} did not run"
    option = session.config.option
    if option.keyword or option.markexpr != "cluster" or any("::" in word for word in session.config.args):
        return "only some tests were asked for"
    if ELSEWHERE or release(NEWEST) != KUBERNETES:
        return f"only some tests run on {ELSEWHERE or KUBERNETES.version}"
    return f"{session.testsfailed} tests failed before" if session.testsfailed else ""


def _place(item: pytest.Item) -> int:
    last = item.get_closest_marker("runs_last")
    return int(last.args[0]) if last else 0


def _leave_out(config: pytest.Config, items: list[pytest.Item], out: list[pytest.Item], why: str) -> None:
    if not out:
        return
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
    say(config, f"{len(out)} tests were left out: they {why}")


def _on_a_cluster(item: pytest.Item) -> bool:
    return item.get_closest_marker("cluster") is not None


def _needs_bed(item: pytest.Item) -> bool:
    """Whether it names a fixture of the bed's, or is marked, for it asks for the bed only when it runs."""
    names = set(getattr(item, "fixturenames", ()))
    return bool({"bed", "ground"} & names) or item.get_closest_marker("on_bed") is not None
