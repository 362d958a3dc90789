"""A node serves one ComputeDomain after another: Jobs that end, domains that wait, domains that are deleted in use."""

from nvdra.api import names
from tests.cluster.view import running, until
from tests.cluster.workloads import domain, job, worker
from tests.e2e.place import Place

SHORT = "ls /dev/nvidia-caps-imex-channels; sleep 1"


def test_a_job_that_ends_gives_its_node_to_the_next_domain(place: Place) -> None:
    """Label and daemon go with the Job's pod, the domain stays, and the next domain's worker runs on the node."""
    place.user.apply(domain("first", 1), job("first", 1, SHORT))
    place.user.kubectl("wait", "--for=condition=Complete", "job/first-job", "--timeout=60s")
    assert place.user.kubectl("logs", "job/first-job") == "channel0\n"
    until("the node has no label", lambda: not place.members("first"), 20)
    until("its daemon is gone", lambda: not place.daemons() and not place.imex(), 20)
    assert place.domain("first")["status"].get("nodes", []) == []
    place.user.apply(domain("second", 1), worker("second", 1))
    place.runs("second-1")
    assert place.members("second") == ["node-1"]
    assert place.domain("first")["metadata"].get("deletionTimestamp") is None


def test_a_second_domain_waits_for_the_node_and_goes_on(place: Place) -> None:
    """Its worker is Pending with a reason while the first holds the node; when that leaves, it runs."""
    place.user.apply(domain("first", 1), worker("first", 1))
    place.runs("first-1")
    place.user.apply(domain("second", 1), worker("second", 1))
    place.said("second-1", "FailedScheduling: ")
    place.said("second-1", "cannot allocate all claims", 10)
    assert place.members("second") == []
    place.user.kubectl("delete", "pod", "first-1", "--timeout=60s")
    place.runs("second-1")
    assert place.members("second") == ["node-1"]
    assert place.members("first") == []


def test_a_domain_deleted_under_its_worker_goes_and_says_so(place: Place) -> None:
    """It does not wait for the worker, which is named in an Event; its daemon stops, and the worker runs on without it."""
    place.user.apply(domain("doomed", 1), worker("doomed", 1))
    place.runs("doomed-1")
    place.user.kubectl("delete", "computedomain", "doomed", "--timeout=60s")
    place.said("doomed", "ComputeDomainDeletedInUse: ", 10)
    assert "default/doomed-1" in place.told("doomed") or "doomed-1" in place.told("doomed")
    until("no daemon is left", lambda: not place.daemons() and not place.imex(), 30)
    assert running(place.pod("doomed-1"))
    labelled = place.user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"]
    assert labelled == []
