"""Workers of a ComputeDomain on two nodes: who waits, for what, and who is let go."""

import pytest

from nvdra.api import names
from tests.cluster.view import running, until
from tests.cluster.workloads import domain, worker
from tests.e2e.place import OTHER_CLIQUE, Place

LISTED = "ls /dev/nvidia-caps-imex-channels; trap 'exit 0' TERM; sleep 9999 & wait"


@pytest.mark.every_release
def test_a_lone_worker_waits_and_two_run(place: Place) -> None:
    """The first is held with the reason in its Events and in the domain's status; with the second, both run as peers."""
    place.user.apply(domain("pair", 2), worker("pair", 1))
    place.said("pair-1", "1 of 2")
    assert not running(place.pod("pair-1"))
    formed = place.condition("pair", "Formed")
    assert (formed["status"], formed["reason"]) == ("False", "WaitingForNodes")
    assert "1 of 2 nodes has not joined" in formed["message"]
    assert place.user.kubectl("get", "computedomain", "pair").splitlines()[1].split()[1] == "NotReady"
    place.user.apply(worker("pair", 2))
    place.runs("pair-1", "pair-2", limit=30)  # the kubelet by itself would come again after 60 to 90 s
    until("the domain is Ready", lambda: place.is_ready("pair"), 10)
    assert place.members("pair") == ["node-1", "node-2"]
    for number in (1, 2):
        until("the channel is listed", lambda pod=f"pair-{number}": "channel0" in place.log(pod), 10)
    daemons = place.daemons()
    addresses = {pod["status"]["podIP"] for pod in daemons}
    assert len(addresses) == 2
    for pod in daemons:
        hosts = place.in_daemon(pod, "cat", "/etc/hosts")
        assert all(address in hosts for address in addresses), hosts
        seen = place.connections(pod)
        assert [seen[pair] for pair in ("0-0", "0-1", "1-0", "1-1")] == ["CONNECTED"] * 4


def test_two_cliques_are_two_imex_domains_of_one_compute_domain(place: Place) -> None:
    """Each node is in a clique of its own: one domain, Ready, with two IMEX domains that know nothing of each other."""
    place.move("node-2", OTHER_CLIQUE)
    place.user.apply(domain("split", 2), worker("split", 1), worker("split", 2))
    place.runs("split-1", "split-2")
    until("the domain is Ready", lambda: place.is_ready("split"), 10)
    status = place.domain("split")["status"]
    assert status["imexDomainCount"] == 2
    members = {node["name"]: (node["cliqueID"], node["index"], node["status"]) for node in status["nodes"]}
    assert members == {"node-1": (place.clique("node-1"), 0, "Ready"), "node-2": (OTHER_CLIQUE, 0, "Ready")}
    assert sorted(len(roster["daemons"]) for roster in place.rosters()) == [1, 1]
    for pod in place.daemons():
        connected = [pair for pair, state in place.connections(pod).items() if state == "CONNECTED"]
        assert connected == ["0-0"]


def test_a_node_without_fabric_holds_nobody(place: Place) -> None:
    """It joins at once, runs no IMEX daemon, and its worker runs without a channel, as the guide says."""
    place.move("node-2", "")
    place.user.apply(domain("mixed", 2), worker("mixed", 1), worker("mixed", 2))
    place.runs("mixed-1", "mixed-2")
    until("the domain is Ready", lambda: place.is_ready("mixed"), 10)
    members = {n["name"]: (n["cliqueID"], n["index"], n["status"]) for n in place.domain("mixed")["status"]["nodes"]}
    assert members == {"node-1": (place.clique("node-1"), 0, "Ready"), "node-2": ("", -1, "Ready")}
    assert place.members("mixed") == ["node-1", "node-2"]
    assert [pod["spec"]["nodeName"] for pod in place.daemons()] == ["node-1"]
    until("a channel on node-1", lambda: "channel0" in place.log("mixed-1"), 10)
    missing = "ls: cannot access '/dev/nvidia-caps-imex-channels': No such file or directory"
    until("none on node-2", lambda: missing in place.log("mixed-2"), 10)


def test_without_numnodes_nobody_waits_for_others(place: Place) -> None:
    """A lone worker runs as soon as its own node is ready; the domain is Ready with one node, and then with two."""
    place.user.apply(domain("elastic", None), worker("elastic", 1))
    place.runs("elastic-1")
    until("the domain is Ready with one", lambda: counts(place, "elastic") == ["Ready", "1/1"], 10)
    place.user.apply(worker("elastic", 2))
    place.runs("elastic-2")
    until("the domain is Ready with two", lambda: counts(place, "elastic") == ["Ready", "2/2"], 10)
    (first, *_) = place.daemons()
    until("both are peers", lambda: place.connections(first)["0-1"] == "CONNECTED", 30)


def test_allocation_mode_all_gives_every_channel(place: Place) -> None:
    """The container has all 2048 channels that the driver made, and the node none any more when it has ended."""
    place.user.apply(domain("all", 1, mode="All"), worker("all", 1, LISTED))
    place.runs("all-1")
    until("2048 channels", lambda: len(place.log("all-1").splitlines()) == 2048, 20)
    assert {"channel0", "channel2047"} <= set(place.log("all-1").splitlines())


def test_a_clique_that_changes_is_told_and_the_worker_stays(place: Place) -> None:
    """A node that moves under a running worker stays in the IMEX domain it joined; the status says that they differ."""
    before = place.clique("node-1")
    place.user.apply(domain("moved", 1), worker("moved", 1))
    place.runs("moved-1")
    place.move("node-1", OTHER_CLIQUE)
    agree = until("it is told", lambda: (c := place.condition("moved", "CliquesAgree"))["status"] == "False" and c, 30)
    assert agree["reason"] == "CliqueMismatch"
    assert "node-1" in agree["message"]
    assert running(place.pod("moved-1"))
    (member,) = place.domain("moved")["status"]["nodes"]
    assert member["cliqueID"] == before
    place.user.kubectl("delete", "pod", "moved-1", "--timeout=60s")
    until("node-1 has left", lambda: not place.members("moved"))
    place.user.apply(worker("moved", 1))
    place.runs("moved-1")
    until("it joined anew", lambda: joined(place, "moved", "node-1") == OTHER_CLIQUE, 20)


def joined(place: Place, name: str, node: str) -> str:
    """The clique in which a node is in the domain."""
    found = place.domain(name)["status"].get("nodes", ())
    return next((n["cliqueID"] for n in found if n["name"] == node), names.NO_FABRIC)


def counts(place: Place, name: str) -> list[str]:
    """The columns Status and Nodes."""
    return place.user.kubectl("get", "computedomain", name).splitlines()[1].split()[1:3]
