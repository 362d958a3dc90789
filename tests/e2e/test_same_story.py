"""The rack held against the real cluster: the same examples, filmed at both, tell the same story.

What may differ is written down here with its reason; whatever else differs is a defect of the rack.
"""

import fnmatch
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import User
from tests.e2e import rack_place, story
from tests.e2e.cluster_place import ClusterPlace
from tests.e2e.place import Place
from tests.e2e.story import Story

pytestmark = pytest.mark.cluster
BY_CHANCE = (
    # the pod is applied right after the ComputeDomain: its template may or may not be there when it is first looked for
    "worker Pod: Warning FailedResourceClaimCreation by *",
    # a probe that comes before the daemon listens: the rack's first one comes with the container's start, a real one
    # within the next second
    "daemon Pod: Warning Unhealthy by kubelet",
    # deleted together: which of label, DaemonSet and claim goes first is a race of agents that know nothing of each other
    "daemon DaemonSet: Normal SuccessfulDelete by *",
    "*: is being deleted",
    "*: Ready False *",
    "*: Provisioned False *",
    # told when the reason changes after the kubelet had its answer; it may have changed before
    "worker Pod: Normal WaitingForComputeDomain by nvdra-kubelet-plugin",
    # so is the note by which the plugin wakes a pod that was sent away, and that it was: what is ready soon enough is not
    "* Pod: *resource.nvidia.com/computeDomain.note",
    "worker Pod: Warning FailedPrepareDynamicResources by kubelet",
    # a kubelet may write two changes at once
    "* Pod: PodReadyToStartContainers False *",
    "* Pod: phase Succeeded",
    "* Pod: Initialized True PodCompleted",
    "* Pod: Ready False PodCompleted",
    "* Pod: ContainersReady False *",
    "* Pod: container terminated *",
    "* Pod: container waiting PodInitializing",
)
NOT_ON_THE_RACK = (
    # nothing is measured there
    "node: *Pressure False *",
    "node: .status.conditions[[]*Pressure[]].*",
    "node: .status.images*",
    "node: .status.*.hugepages-*",
    # what a kubelet and a runtime tell of themselves, and nobody here reads
    "node: .status.daemonEndpoints.*",
    "node: .status.declaredFeatures*",
    "node: .status.features.*",
    "node: .status.runtimeHandlers*",
    "node: .status.nodeInfo.*",
    "node: .metadata.annotations.*",
    "node: .metadata.labels.beta.*",
    "* Pod: .status.conditions[[]*[]].lastProbeTime",
    "* Pod: *.observedGeneration",
    "* Pod: .status.allocatedResources.*",
    "* Pod: .status.resources.*",
    "* Pod: .status.containerStatuses[[]*[]].allocatedResources*",
    "* Pod: .status.containerStatuses[[]*[]].resources.*",
    "* Pod: .status.containerStatuses[[]*[]].user.*",
    # a node of the bed is its control plane as well; the rack has one beside its nodes
    "node: .metadata.labels.node-role.kubernetes.io/control-plane",
    # it has no service accounts: whoever knocks is an administrator
    "* Pod: *[[]kube-api-access-*[]]*",
    # it has no priorities, and its driver is not installed by the chart
    "*: *.priorityClassName",
    "daemon DaemonSet: .metadata.annotations.deprecated.daemonset.template.generation",
)
ONLY_ON_THE_RACK = (
    # a real server leaves kind and version out of the items of lists of built-in kinds
    "*: .apiVersion",
    "*: .kind",
)


@pytest.mark.parametrize("example", [story.guide, story.pair])
async def test_rack_and_cluster_tell_the_same(
    bed: Cluster, user: User, driver: None, example: Callable[[Place], Coroutine[Any, Any, Story]]
) -> None:
    """States of all objects, Events, and fields that objects have: none is at one place only, but for those named above."""
    real = _lines(await example(ClusterPlace(user, bed=bed)))
    with rack_place.raised() as rack:
        ours = _lines(await example(rack))
    missing = _but(real - ours, (*BY_CHANCE, *NOT_ON_THE_RACK))
    extra = _but(ours - real, (*BY_CHANCE, *ONLY_ON_THE_RACK))
    assert (missing, extra) == ([], []), f"not on the rack: {missing}\nonly on the rack: {extra}"
    assert len(real & ours) > 200, "what they have in common is most of it"
    if example is story.pair:
        assert "worker Pod: Warning FailedPrepareDynamicResources by kubelet" in real & ours


def _lines(told: Story) -> set[str]:
    found = {f"{role}: {turn}" for role, turns in told.turns.items() for turn in turns}
    found |= {f"{role}: {path}" for role, paths in told.shapes.items() for path in paths}
    return found | told.told


def _but(lines: Iterable[str], excused: Iterable[str]) -> list[str]:
    return sorted(line for line in lines if not any(fnmatch.fnmatchcase(line, pattern) for pattern in excused))
