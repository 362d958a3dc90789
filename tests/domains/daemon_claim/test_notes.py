"""Why a daemon is not ready, on its pod: in time, once for each reason, and not a word longer than it is so."""

import asyncio

from nvdra.api import kinds, names
from nvdra.api.local import DAEMON_STATUSES, DaemonStatus
from nvdra.api.records import PodRef
from tests.builders import OWN
from tests.domains.daemon_claim.claims import DOMAIN, a_plugin, prepared, released
from tests.virtual_time import virtually


@virtually
async def test_a_daemon_that_is_not_ready_says_why_on_its_pod():
    """After a moment, once for each reason; one that is merely starting says nothing."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN, ready=False)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid), PodRef("gone", "x")))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason, *, ready=False):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "START", ready, reason))

    says("port 50000 in use")
    await asyncio.sleep(2)
    assert await note() == ""
    await asyncio.sleep(2)
    assert await note() == "port 50000 in use"
    before = little.store.version
    await asyncio.sleep(600)
    assert little.store.version == before
    says("peer node-2 unreachable")
    await asyncio.sleep(1)
    assert await note() == "peer node-2 unreachable"
    says("", ready=True)
    await asyncio.sleep(1)
    says("crash loop")
    await asyncio.sleep(2)
    assert await note() == "peer node-2 unreachable"
    await asyncio.sleep(2)
    assert await note() == "crash loop"


@virtually
async def test_a_daemon_that_is_to_be_listed_with_others_says_so_only_when_it_is_not():
    """The controller takes up to 40 s for a large domain: no write for each node; what comes after has its own time."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN, ready=False)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid),))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason, *, awaited):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "START", False, reason, awaited))

    says("not listed yet", awaited=True)
    await asyncio.sleep(45)
    assert await note() == ""
    says("nvidia-imex has just been started", awaited=False)
    await asyncio.sleep(2)
    assert await note() == ""
    says("not listed yet", awaited=True)
    await asyncio.sleep(61)
    assert await note() == "not listed yet"


@virtually
async def test_a_ready_daemon_says_whom_it_does_not_reach():
    """As long as it is so, and not a word longer: also when the plugin was restarted meanwhile."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid),))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "Running.Ready", True, reason))

    says("not connected to 1 of 1 peers: node-2")
    await asyncio.sleep(4)
    assert await note() == "is ready, but not connected to 1 of 1 peers: node-2"
    says("")
    await asyncio.sleep(1)
    assert await note() == ""
    says("not connected to 1 of 1 peers: node-2")
    await asyncio.sleep(4)
    await plugin.restart()
    says("")
    await asyncio.sleep(2)
    assert await note() == ""


@virtually
async def test_a_claim_that_is_gone_is_not_remembered():
    """What a daemon's pod was told is forgotten with its claim: a node sees thousands of them in a year."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, reason="port 50000 in use"))
    await asyncio.sleep(5)
    notes = plugin.engine.domains["daemon-claim"].things["pod-note"].memory
    assert (list(notes.since), list(notes.said)) == (["d"], ["d"])
    await released(plugin)
    assert (notes.since, notes.said) == ({}, {})
