"""The IMEX daemons: what goes wrong with nvidia-imex, who hears of it, and what is left alone."""

import asyncio
import json

from nvdra.api import names
from nvdra.sim.kube.kinds import PODS
from tests.rack.rig import OWN

IN_TIME = 12.0
"""A reason reaches everybody within 10 s; the rest is for a busy machine."""


WRONG = {
    "busy": ({"exit_at_start": "Failed to bind 127.77.0.9:50000: Address already in use"}, "port 50000 in use"),
    "looping": ({"crash": {"after": 0, "code": 7}}, "exited with code 7"),
    "foreign": ({"exit_at_start": "failed to allocate imex session: NV_ERR_IN_USE"}, "another IMEX session is active"),
    "mute": ({"hang_ctl": True}, "did not answer in time"),
}
"""What nvidia-imex does, and words that all must hear."""


async def test_why_a_daemon_is_not_ready_reaches_the_other_nodes_worker(raised):
    """Port in use, a crash loop, a foreign session, a tool that hangs: named everywhere within 10 s, healed when it ends.

    Everywhere: on the waiting worker of the other node, in the ComputeDomain's condition, on the daemon's own pod.
    """
    rig = await raised(8, cliques=4)
    for number, (name, (control, _)) in enumerate(WRONG.items()):
        good, bad = f"node-{2 * number + 1}", f"node-{2 * number + 2}"
        rig.imex(bad, **control)
        await rig.create_domain(name, wanted=2)
        await rig.create_worker(f"a-{name}", good, domain=name)
        await rig.create_worker(f"b-{name}", bad, domain=name)
    await asyncio.gather(*(_heard(rig, number, name) for number, name in enumerate(WRONG)))
    for number, name in enumerate(WRONG):
        assert not await rig.runs(f"a-{name}")()
        rig.imex(f"node-{2 * number + 2}")
    await rig.running(*(f"{side}-{name}" for side in "ab" for name in WRONG), limit=30)


async def _heard(rig, number, name):
    words = WRONG[name][1]
    await rig.said(f"a-{name}", words, limit=IN_TIME)

    async def told():
        return words in (await rig.condition("Ready", name)).get("message", "")

    await rig.until(f"the condition says {words!r}", told, IN_TIME)
    assert words in (await rig.daemons(f"node-{2 * number + 2}"))[0]["metadata"]["annotations"][names.NOTE_ANNOTATION]


async def test_a_missing_imex_program_is_named(raised):
    """A driver without nvidia-imex: the worker, the condition and the daemon's pod say what is missing."""
    rig = await raised(2)
    programs = rig.root("node-2") / "driver/usr/bin"
    (programs / "nvidia-imex").rename(programs / "hidden")
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.said("a", "nvidia-imex", limit=IN_TIME)

    async def told():
        message = (await rig.condition("Ready")).get("message", "")
        return "node-2" in message and "nvidia-imex" in message

    await rig.until("the condition names it", told, IN_TIME)


async def test_a_crashed_imex_is_started_again_and_the_worker_keeps_its_claim(raised):
    """nvidia-imex ends once: another instance is up in seconds, in the same container, with the same index."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    container, indices = rig.daemon("node-1"), await rig.indices()
    rig.imex("node-1", crash={"after": 0, "code": 7})
    await rig.until("it has ended", lambda: _status(rig).get("ready") is False)
    rig.imex("node-1")
    await rig.until("it is ready again", lambda: _status(rig).get("ready") is True)
    assert rig.daemon("node-1") is container
    assert await rig.indices() == indices
    assert await rig.runs("a")()


async def test_a_deleted_daemon_pod_comes_back_to_its_index_and_peers_hear_its_new_address(raised):
    """Same index; the peer's hosts file has the new address behind the same name; the peer's container runs on."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    indices, peer = await rig.indices(), rig.daemon("node-1")
    old = (await rig.daemons("node-2"))[0]
    hosts = peer.rootfs / "etc/hosts"
    assert old["status"]["podIP"] in hosts.read_text()
    name = next(line.split()[1] for line in hosts.read_text().splitlines() if line.startswith(old["status"]["podIP"]))
    await rig.delete(PODS, old["metadata"]["name"], namespace=OWN)

    async def another():
        found = [p for p in await rig.daemons("node-2") if p["metadata"]["uid"] != old["metadata"]["uid"]]
        return found[0].get("status", {}).get("podIP") if found else ""

    address = await rig.until("another daemon pod with an address", another)
    assert address != old["status"]["podIP"]
    await rig.until("the peer knows", lambda: f"{address}\t{name}" in hosts.read_text().replace(" ", "\t"))
    assert old["status"]["podIP"] not in hosts.read_text()
    assert await rig.indices() == indices
    assert rig.daemon("node-1") is peer
    assert peer.ended is None
    await rig.until("all are ready again", lambda: _counts(rig, "2/2"))
    assert await rig.runs("a", "b")()


async def test_daemons_run_on_while_the_api_server_is_away(raised):
    """Some seconds without any answer and with broken watches: every container, file and worker stays as it is."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    nodes = ("node-1", "node-2")
    before = [(rig.daemon(n), rig.plugin(n), rig.cdi(n), rig.records(n)) for n in nodes]
    rig.silent()

    async def same():
        return [(rig.daemon(n), rig.plugin(n), rig.cdi(n), rig.records(n)) for n in nodes] == before

    await rig.stays("everything is as it was", same, 3.0)
    rig.mend()
    await rig.stays("everything is as it was", same, 1.0)
    assert all(daemon.ended is None for daemon, *_ in before)
    await rig.delete_all()
    await rig.clean()


async def _counts(rig, text):
    return (await rig.domain())["status"].get("nodesReady") == text


def _status(rig):

    found = list((rig.plugin_folder() / "domains").glob("*/status.json"))
    return json.loads(found[0].read_text()) if found else {}
