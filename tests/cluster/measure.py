"""How long the guide's example takes on a bed that is up, step by step: `python -m tests.cluster.measure [ROUNDS] [--doc]`.

The rows are those of the table that was made of the Go driver on the same bed (reference-driver.md §13.1).
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nvdra.api import names
from nvdra.sim.manifests import example
from tests.cluster import figures, installation, leftovers
from tests.cluster.bed import cluster, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.image import archive
from tests.cluster.view import (
    CLAIMS,
    DOMAINS,
    NODES,
    PODS,
    ROSTERS,
    Film,
    Shot,
    User,
    filmed,
    pod_ready,
    running,
    until,
)

NAME = "imex-channel-injection"
Fits = Callable[[Shot], bool]
Times = dict[str, float]
OWN = {"uid": ""}
"""The ComputeDomain of the round that is measured."""


def is_worker(shot: Shot) -> bool:
    return shot.object["kind"] == "Pod" and shot.name == NAME


def is_daemon(shot: Shot) -> bool:
    """A daemon of this round: those of the round before may still have things to say."""
    return shot.object["kind"] == "Pod" and "labels" in shot.object["metadata"] and is_labelled(shot)


def is_labelled(shot: Shot) -> bool:
    labels: dict[str, str] = shot.object["metadata"]["labels"]
    return labels.get(names.DOMAIN_LABEL) == OWN["uid"]


def allocated(shot: Shot) -> bool:
    return shot.object["kind"] == "ResourceClaim" and "allocation" in shot.object.get("status", {})


def placed(shot: Shot) -> bool:
    return bool(shot.object["spec"].get("nodeName"))


def addressed(shot: Shot) -> bool:
    return any(daemon.get("ipAddress") for daemon in shot.object.get("daemons", ()))


STEPS: tuple[tuple[str, Fits], ...] = (
    ("worker created", is_worker),
    ("worker scheduled, claim allocated", lambda shot: is_worker(shot) and placed(shot)),
    ("node labelled", lambda shot: shot.object["kind"] == "Node" and is_labelled(shot)),
    ("daemon pod created", is_daemon),
    ("daemon pod scheduled", lambda shot: is_daemon(shot) and placed(shot)),
    ("daemon container running", lambda shot: is_daemon(shot) and running(shot.object)),
    ("its address is in the roster", lambda shot: shot.object["kind"] == "ComputeDomainClique" and addressed(shot)),
    ("daemon pod ready", lambda shot: is_daemon(shot) and pod_ready(shot.object)),
    (
        "domain Ready",
        lambda s: s.object["kind"] == "ComputeDomain" and s.object.get("status", {}).get("status") == "Ready",
    ),
    ("worker's container running", lambda shot: is_worker(shot) and running(shot.object)),
)
ENDS: tuple[tuple[str, Fits], ...] = (
    ("worker gone", lambda shot: is_worker(shot) and shot.type == "DELETED"),
    ("daemon pod gone", lambda shot: is_daemon(shot) and shot.type == "DELETED"),
    ("domain gone", lambda shot: shot.object["kind"] == "ComputeDomain" and shot.type == "DELETED"),
)


async def one_round(bed: Cluster, user: User, film: Film) -> dict[str, float]:
    """Milliseconds from the command to each step, and again from the deletion to each end."""
    manifest = str(example(NAME))
    begun = time.monotonic()
    await asyncio.to_thread(user.kubectl, "apply", "-f", manifest)
    domain = await film.first("the domain is there", lambda shot: shot.object["kind"] == "ComputeDomain", begun)
    OWN["uid"] = domain.object["metadata"]["uid"]
    found = {what: ((await film.first(what, fits, begun)).at - begun) * 1000 for what, fits in STEPS}
    await asyncio.sleep(1)
    deleted = time.monotonic()
    await asyncio.to_thread(user.kubectl, "delete", "-f", manifest, "--wait=false")
    for what, fits in ENDS:
        found[f"delete: {what}"] = ((await film.first(what, fits, deleted)).at - deleted) * 1000
    await asyncio.to_thread(leftovers.all_gone, bed, user)
    return found


async def measured(bed: Cluster, user: User, rounds: int, others: int) -> tuple[list[Times], list[Times]]:
    """So many rounds of the guide's example, one after another; then the other measurements."""
    async with filmed(bed.layout.kubeconfig, PODS, NODES, CLAIMS, DOMAINS, ROSTERS) as film:
        await film.first("the driver's pods are seen", lambda shot: shot.object["kind"] == "Pod")
        found, more = [], []
        for _ in range(rounds):
            film.shots.clear()
            found.append(await one_round(bed, user, film))
        for _ in range(others):
            film.shots.clear()
            more.append(await figures.of_two(bed, user, film))
        if others:
            film.shots.clear()
            more.append(await figures.of_late(bed, user, film))
        return found, more


def main(arguments: list[str]) -> int:
    """Print the table: median, least and most. With --doc also of two workers and a late daemon, into the page."""
    found = cluster.running(os.environ.get("NVDRA_CLUSTER_NAME", "bed"))
    if found is None:
        print("no bed is up: make cluster", file=sys.stderr)
        return 1
    programs = tools.folder()
    user = User(Path(programs / "kubectl"), Path(programs / "helm"), found.layout.kubeconfig)
    numbers = [int(word) for word in arguments if word.isdigit()]
    with_page = "--doc" in arguments
    with found.entered():
        _installed(found, user)
        rounds, others = asyncio.run(measured(found, user, numbers[0] if numbers else 10, 3 if with_page else 0))
    print(f"{'ms after kubectl was started':<48} median    least     most   ({len(rounds)} rounds)")
    for one in (rounds, others):
        for what in dict.fromkeys(name for times in one for name in times):
            times = [times[what] for times in one if what in times]
            print(f"{what:<48} {statistics.median(times):6.0f}   {min(times):6.0f}   {max(times):6.0f}")
    if with_page:
        figures.write(figures.page(rounds, others, found.layout.release.version))
    return 0


def _installed(bed: Cluster, user: User) -> None:
    """The driver as the tests install it, unless it is there."""
    images = archive()
    bed.bring_image(images)
    installation.by_helm(user, images.stem)
    until("the driver is ready", lambda: installation.ready(user), 90)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
