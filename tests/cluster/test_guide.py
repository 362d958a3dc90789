"""The user guide's first example on any cluster, also one that is not our bed; tests/e2e has it command by command."""

import re
from collections.abc import Callable, Iterator

import pytest

from nvdra.api import names
from nvdra.sim.manifests import example
from tests.cluster.view import User, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
NAME = "imex-channel-injection"
OPEN = "exec 3</dev/nvidia-caps-imex-channels/channel0"


@pytest.fixture
def injected(user: User) -> Iterator[str]:
    """The guide's manifest, as it stands, applied; and deleted afterwards."""
    manifest = str(example(NAME))
    user.kubectl("apply", "-f", manifest)
    yield manifest
    user.kubectl("delete", "-f", manifest, "--ignore-not-found", "--timeout=60s")


@pytest.mark.every_release
def test_the_pod_lists_its_channel(user: User, injected: str, all_gone: Callable[[], None]) -> None:
    """The pod starts, its log has channel0 as the guide shows it; when it is deleted, nothing of it is left anywhere."""
    user.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")
    log = user.kubectl("logs", NAME)
    assert re.search(r"^crw-rw-rw- 1 root root 507, 0 .* channel0$", log, re.MULTILINE), log
    domain = user.json("get", "computedomain", NAME)
    until("the domain is Ready", lambda: user.json("get", "computedomain", NAME)["status"].get("status") == "Ready", 10)
    labelled = user.json("get", "nodes", "-l", f"{names.DOMAIN_LABEL}={domain['metadata']['uid']}")["items"]
    assert len(labelled) == 1
    user.kubectl("delete", "-f", injected, "--timeout=60s")
    all_gone()


@pytest.mark.usefixtures("injected")
def test_the_channel_is_a_device_that_opens(user: User) -> None:
    """Inside the container, the device node is there by CDI and the device cgroup admits it: only the driver is missing."""
    user.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")
    opened = user.attempt(user.kubectl_program, "exec", NAME, "--", "bash", "-c", OPEN)
    assert "No such device or address" in opened.stderr, opened.stderr
