"""What can be seen through any cluster's API server: what objects are accepted, made, published, and taken away."""

import time
from collections.abc import Callable, Iterator

import pytest

from nvdra.api import names
from tests.cluster.view import User, until
from tests.cluster.workloads import domain

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]


@pytest.fixture
def unused(user: User, all_gone: Callable[[], None]) -> Iterator[str]:
    """A ComputeDomain that nobody uses; gone afterwards."""
    name = f"unused-{int(time.monotonic() * 10)}"
    user.apply(domain(name, 2))
    yield name
    user.kubectl("delete", "computedomain", name, "--ignore-not-found", "--timeout=60s")
    all_gone()


def test_a_domain_has_its_template_and_daemons_for_nobody(user: User, unused: str) -> None:
    """Its workload's template is beside it, its DaemonSet wants no node yet, and it says what it waits for."""
    until("the template is there", lambda: unused in user.kubectl("get", "resourceclaimtemplates", "-o", "name"), 30)
    uid = user.json("get", "computedomain", unused)["metadata"]["uid"]
    own = ("-n", names.DRIVER_NAMESPACE, "-l", f"{names.DOMAIN_LABEL}={uid}")
    (daemons,) = until("the DaemonSet is there", lambda: user.json("get", "daemonsets", *own)["items"], 30)
    assert daemons["spec"]["template"]["spec"]["nodeSelector"] == {names.DOMAIN_LABEL: uid}
    assert user.json("get", "pods", *own)["items"] == []
    until(
        "it says so",
        lambda: user.json("get", "computedomain", unused).get("status", {}).get("status") == "NotReady",
        30,
    )


def test_the_spec_of_a_domain_is_not_changed_afterwards(user: User, unused: str) -> None:
    """The API server itself refuses it, and says why."""
    change = '{"spec": {"channel": {"resourceClaimTemplate": {"name": "another"}}}}'
    with pytest.raises(AssertionError, match="immutable"):
        user.kubectl("patch", "computedomain", unused, "--type=merge", "-p", change)


def test_every_plugin_publishes_one_slice(user: User) -> None:
    """Each node with a plugin has its own pool, with a channel and a daemon device."""
    selector = "nvidia-dra-driver-gpu-component=kubelet-plugin"
    plugins = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE, "-l", selector)["items"]
    slices = [s["spec"] for s in user.json("get", "resourceslices")["items"] if s["spec"]["driver"] == names.CD_DRIVER]
    assert sorted(s["pool"]["name"] for s in slices) == sorted(pod["spec"]["nodeName"] for pod in plugins)
    assert all([device["name"] for device in s["devices"]] == ["channel-0", "daemon-0"] for s in slices)
