"""Who has joined, who is ready, and the words for what is waited for."""

import pytest

from nvdra.api import names
from nvdra.api.membership import CHECK_IMAGE, MAKE_ROOM, Member, member_of, members_of, published_clique, waiting_text
from nvdra.api.meta import Condition, Meta
from nvdra.api.objects import ContainerState, ContainerStatus, Node, Pod, PodSpec, PodStatus, Terminated, Waiting
from nvdra.api.resources import Attribute, BasicDevice, Device, ResourceSlice, ResourceSliceSpec

CLIQUE = "u.1"


def a_node(name="node-1", clique=CLIQUE, **labels):
    stay = {names.DOMAIN_LABEL: "d", names.JOIN_LABEL: "c"} | ({names.CLIQUE_LABEL: clique} if clique else {})
    return Node(Meta(name=name, labels=stay | labels))


def a_pod(node="node-1", name="pod", note="", *, ready=False, deleting=False, status=None, conditions=()):
    meta = Meta(
        name=name,
        annotations={names.NOTE_ANNOTATION: note} if note else {},
        deletionTimestamp="2026-01-01T00:00:00Z" if deleting else None,
    )
    containers = (ContainerStatus(name="c"), status) if status else ()
    found = (Condition("Ready", str(ready)), *conditions)
    return Pod(meta, PodSpec(nodeName=node), PodStatus("Running", "10.0.0.1", found, containers))


def a_slice(clique, *, old=False):
    attributes = {"clique": Attribute(string=clique)} if clique is not None else {}
    device = Device("channel-0", basic=BasicDevice(attributes)) if old else Device("channel-0", attributes)
    return ResourceSlice(spec=ResourceSliceSpec(devices=(Device("daemon-0"), device)))


def ended(code=1, message="", reason="Error"):
    return ContainerStatus("c", lastState=ContainerState(terminated=Terminated(code, reason, message)))


def held(reason, message=""):
    return ContainerStatus("c", state=ContainerState(waiting=Waiting(reason, message)))


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (None, "has no IMEX daemon pod yet"),
        (a_pod(node="node-2"), "has no IMEX daemon pod yet"),
        (a_pod(), "has an IMEX daemon that is starting (pod pod)"),
        (a_pod(ready=True, deleting=True), "has an IMEX daemon that is going away (pod pod)"),
        (a_pod(note="port 50000 in use"), "has an IMEX daemon that is not ready: port 50000 in use"),
        (a_pod(status=ended(1, "no nvidia-imex\n")), "has an IMEX daemon that is not ready: no nvidia-imex"),
        (a_pod(status=ended(137)), "has an IMEX daemon that is not ready: its container ended with exit code 137 (Error)"),
        (a_pod(status=ended(0)), "has an IMEX daemon that is starting (pod pod)"),
        (a_pod(status=held("ImagePullBackOff", "no such image")), "has an IMEX daemon that is not ready: ImagePullBackOff: no such image" + f"; {CHECK_IMAGE}"),
        (a_pod(status=held("CrashLoopBackOff")), "has an IMEX daemon that is not ready: CrashLoopBackOff"),
        (a_pod(status=held("ContainerCreating")), "has an IMEX daemon that is starting (pod pod)"),
        (a_pod(conditions=[Condition("PodScheduled", "False", "Unschedulable", "taint x.")]), "cannot run its IMEX daemon: taint x" + f"; {MAKE_ROOM}"),
        (a_pod(conditions=[Condition("PodScheduled", "False", "Unschedulable")]), "cannot run its IMEX daemon: Unschedulable" + f"; {MAKE_ROOM}"),
        (a_pod(conditions=[Condition("PodScheduled", "True")]), "has an IMEX daemon that is starting (pod pod)"),
    ],
)  # fmt: skip
def test_why_a_node_is_not_ready(pod, why):
    """In a clause that reads well after the node's name, from the nearest source that knows."""
    member = member_of(a_node(), None, [pod] if pod else [])
    assert (member.ready, member.why, member.claim) == (False, why, "c")


def test_ready_is_what_the_kubelet_says():
    """A pod that is Ready and not going away; its address and name go with it."""
    expected = Member("node-1", CLIQUE, ready=True, address="10.0.0.1", pod="pod", claim="c")
    assert member_of(a_node(), None, [a_pod(ready=True)]) == expected


def test_of_two_daemons_the_one_that_stays_counts():
    """A pod that goes away and its successor: the successor speaks."""
    pods = [a_pod(name="a", deleting=True), a_pod(name="b", ready=True)]
    assert member_of(a_node(), None, pods).pod == "b"


def test_without_fabric_no_daemon_is_needed():
    """Such a node is ready as soon as it has joined."""
    member = member_of(a_node(clique=""), None, [])
    assert (member.ready, member.fabric, member.why) == (True, False, "")


@pytest.mark.parametrize(
    ("clique", "label", "read", "trouble"),
    [
        (CLIQUE, None, None, ""),
        (CLIQUE, CLIQUE, CLIQUE, ""),
        ("", None, names.NO_FABRIC, ""),
        (CLIQUE, None, "u.2", "node-1 joined as u.1 but NVML says u.2 now"),
        (CLIQUE, "u.2", names.NO_FABRIC, "node-1 joined as u.1 but NVML says no fabric now"),
        ("", None, "u.2", "node-1 joined as no fabric but NVML says u.2 now"),
        (CLIQUE, "u.3", CLIQUE, "node-1 is labelled nvidia.com/gpu.clique=u.3 but NVML says u.1"),
        ("", "u.3", None, "node-1 is labelled nvidia.com/gpu.clique=u.3 but NVML says no fabric"),
    ],
)
def test_cliques_that_differ_are_named(clique, label, read, trouble):
    """What the node joined as, what its slice says now, and what GPU Feature Discovery says."""
    node = a_node(clique=clique, **({names.GPU_CLIQUE_LABEL: label} if label else {}))
    assert member_of(node, a_slice(read) if read else None, []).trouble == trouble


def test_a_slice_in_either_spelling():
    """v1beta1 has a level more; no attribute, or no slice, is not known."""
    assert published_clique(a_slice(CLIQUE)) == published_clique(a_slice(CLIQUE, old=True)) == CLIQUE
    assert published_clique(a_slice(names.NO_FABRIC)) == ""
    assert published_clique(a_slice(None)) is None
    assert published_clique(None) is None


def test_members_come_by_name():
    """With each node's own pods and slice."""
    pods = [a_pod("node-2", "p2", ready=True), a_pod("node-1", "p1")]
    slices = {"node-2": a_slice("u.9")}
    found = members_of([a_node("node-2"), a_node("node-1")], pods, slices.get)
    assert [(m.name, m.ready, m.pod, bool(m.trouble)) for m in found] == [
        ("node-1", False, "p1", False),
        ("node-2", True, "p2", True),
    ]


def a_member(number, *, ready=False):
    return Member(f"n{number}", CLIQUE, ready, why="" if ready else "is late")


@pytest.mark.parametrize(
    ("wanted", "ready", "late", "text"),
    [
        (0, 0, 0, ""),
        (2, 2, 0, ""),
        (2, 0, 0, "waiting for 2 of 2 nodes: 2 of 2 nodes have not joined"),
        (2, 1, 0, "waiting for 1 of 2 nodes: 1 of 2 nodes has not joined"),
        (2, 1, 1, "waiting for 1 of 2 nodes: n10 is late"),
        (3, 1, 1, "waiting for 2 of 3 nodes: n10 is late; 1 of 3 nodes has not joined"),
        (1, 0, 5, "waiting for 5 of 5 nodes: n10 is late; n11 is late; n12 is late; 2 more are not ready"),
    ],
)
def test_what_a_domain_waits_for(wanted, ready, late, text):
    """How many of how many, who and why, three by name; and how many are missing."""
    members = [*(a_member(n, ready=True) for n in range(ready)), *(a_member(10 + n) for n in range(late))]
    assert waiting_text(wanted, members) == text


def test_a_worry_is_a_ready_daemons_only():
    """A note that begins as one is told of a ready node; of one that is not ready it is old, and says nothing."""
    worry = f"{names.WORRY}not connected to node-2"
    well, late = (member_of(a_node(), None, [a_pod(ready=ready, note=worry)]) for ready in (True, False))
    assert (well.ready, well.worry, well.why) == (True, worry, "")
    assert (late.ready, late.worry, late.why) == (False, "", "has an IMEX daemon that is starting (pod pod)")
    assert member_of(a_node(), None, [a_pod(ready=True, note="port in use")]).worry == ""


def test_a_member_names_its_source():
    """The daemon's pod, or while there is none the node."""
    assert member_of(a_node(), None, [a_pod()]).source.startswith("Pod ")
    assert member_of(a_node(), None, []).source == "Node node-1 metadata.labels"
