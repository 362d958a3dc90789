"""The controller as processes: killed in the middle, elected, stopped, and asked how it is."""

import asyncio
import os
import signal
import socket
import sys
import urllib.error
import urllib.request

import pytest

from nvdra.sim import manifests
from nvdra.sim.kube.kinds import DAEMON_SETS, PODS
from tests.rack.rig import DOMAINS, LEASES, OWN

pytestmark = pytest.mark.rack


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Process:
    """One `nvdra controller`."""

    def __init__(self, rig, name):
        self.rig, self.name, self.port = rig, name, _free_port()

    async def start(self):
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.rig.rack.kubeconfig),
            "POD_NAME": self.name,
            "HTTP_ENDPOINT": f"127.0.0.1:{self.port}",
            "LEADER_ELECTION_ENABLED": "true",
            "LEADER_ELECTION_LEASE_DURATION": "2",
            "LEADER_ELECTION_RENEW_DEADLINE": "1.2",
            "LEADER_ELECTION_RETRY_PERIOD": "0.3",
            "LOG_FORMAT": "json",
        }
        self.log = (self.rig.rack.root / f"{self.name}.log").open("wb")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nvdra", "controller", env=environment, stdout=self.log, stderr=self.log
        )
        return self

    async def end(self, number):
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), 15)
        self.log.close()
        return code

    async def get(self, path):
        """Status and text of an answer; 0 when nobody listens."""

        def asked():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                return 0, ""

        return await asyncio.to_thread(asked)


@pytest.fixture
async def site(raised):
    """A rack whose nodes have plugins, and a way to start controllers; those left over are killed."""
    rig = await raised(2, install_driver=False)
    await rig.rack.cluster.create(DAEMON_SETS, manifests.plugin_daemonset(), OWN)
    await rig.published(2)
    begun = []

    async def controller(name):
        begun.append(await Process(rig, name).start())
        return begun[-1]

    yield rig, controller
    for one in begun:
        await one.end(signal.SIGKILL)


async def _holder(rig):
    leases = await rig.all(LEASES, OWN)
    return leases[0]["spec"].get("holderIdentity") or "" if leases else ""


def _held_by(rig, name):
    async def held():
        return name in await _holder(rig)

    return held


async def test_a_killed_leader_is_replaced_in_the_middle_of_a_join_and_nothing_is_lost(site):
    """Kill -9 while a worker waits: the other takes over, indices stay, the second worker joins, both run; then kill again."""
    rig, controller = site
    first = await controller("first")
    await rig.until("first leads", _held_by(rig, "first"))
    second = await controller("second")
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.until("node-1 has an index", lambda: _index(rig, "node-1"))
    await first.end(signal.SIGKILL)
    await rig.create_worker("b", "node-2")
    await rig.until("second leads", _held_by(rig, "second"))
    await rig.running("a", "b")
    assert await rig.indices() == {"node-1": 0, "node-2": 1}
    await rig.delete(PODS, "a", "b")
    await rig.delete(DOMAINS, "cd")
    await second.end(signal.SIGKILL)
    await (await controller("third")).get("/healthz")
    await rig.clean(30)


async def test_sigterm_releases_the_lease_and_the_next_leads_at_once(site):
    """Exit code 0, an empty holder, and no wait for the lease to expire."""
    rig, controller = site
    first = await controller("first")
    await rig.until("first leads", _held_by(rig, "first"))
    assert await first.end(signal.SIGTERM) == 0
    assert await _holder(rig) == ""
    log = (rig.rack.root / "first.log").read_text()
    assert "Traceback" not in log
    await controller("second")
    await rig.until("second leads", _held_by(rig, "second"))


async def test_health_readiness_and_metrics_are_served_on_one_port(site):
    """/healthz and /readyz say ok; /metrics has our own series and those of requests; a step is one JSON line."""
    rig, controller = site
    one = await controller("one")

    async def ready():
        return await one.get("/readyz") == (200, "ok\n")

    await rig.until("ready", ready)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    assert await one.get("/healthz") == (200, "ok\n")
    status, text = await one.get("/metrics")
    assert status == 200
    series = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert [name for name in series if name.startswith("nvdra_")]
    assert (await one.get("/nonsense"))[0] == 404
    log = (rig.rack.root / "one.log").read_text()
    assert '"kind": "compute-domain"' in log or '"kind":"compute-domain"' in log
    rig.silent("nvdra-controller")

    async def late():
        return (await one.get("/readyz"))[0] == 503

    await rig.until("not ready without an API server", late)
    rig.mend()
    await rig.until("ready again", ready)


async def _index(rig, node):
    return node in await rig.indices()
