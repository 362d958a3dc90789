"""What belongs to a ComputeDomain is kept as it should be: deleted, changed or taken by somebody else."""

from nvdra.api import names
from nvdra.engine import engine
from nvdra.sim.kube.kinds import CLAIM_TEMPLATES, DAEMON_SETS, NETWORK_POLICIES, PODS
from tests.rack.rig import DOMAINS, OWN, ROSTERS

SOON = 10.0
"""What is deleted by hand is back within seconds."""


async def test_children_deleted_by_hand_come_back_within_seconds(raised):
    """Both claim templates, DaemonSet and network policy are made anew, and the next worker finds everything in place."""
    rig = await raised(1)
    await rig.create_domain()
    before = await rig.until("four children", lambda: _children(rig))
    for kind, name, namespace in before:
        await rig.delete(kind, name, namespace=namespace)

    async def anew():
        now = await _children(rig)
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    await rig.until("all are there again", anew, SOON)
    await rig.create_worker("a", "node-1")
    await rig.running("a")


async def test_a_changed_daemonset_is_put_right_and_running_daemons_are_left_alone(raised):
    """Drift is corrected within seconds; the daemon pod and its container stay the same."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    mine, pod, container = await _daemon_set(rig), (await rig.daemons())[0], rig.daemon("node-1")

    async def right():
        now = (await _daemon_set(rig))["spec"]
        return now["template"] == mine["spec"]["template"] and now["updateStrategy"]["type"] == "OnDelete"

    for changed in (
        {"updateStrategy": {"type": "RollingUpdate"}},
        {"template": {"spec": {"containers": [{"name": names.DAEMON_CONTAINER, "image": "evil"}]}}},
    ):
        await rig.patch(DAEMON_SETS, mine["metadata"]["name"], {"spec": changed}, OWN)
        assert not await right()
        await rig.until("the DaemonSet is as it was", right, SOON)
    assert (await rig.daemons())[0]["metadata"]["uid"] == pod["metadata"]["uid"]
    assert rig.daemon("node-1") is container
    assert container.ended is None


async def test_a_widened_network_policy_is_put_right(raised):
    """Within seconds and with one write; it names this domain's daemons, and goes with the domain."""
    rig = await raised(1)
    uid = await rig.create_domain()
    mine = (await rig.until("its policy", lambda: rig.all(NETWORK_POLICIES, OWN, names.DOMAIN_LABEL)))[0]
    name = mine["metadata"]["name"]
    assert mine["spec"]["podSelector"] == {"matchLabels": {names.DOMAIN_LABEL: uid}}
    before = rig.rack.api.counters.snapshot()
    await rig.patch(NETWORK_POLICIES, name, {"spec": {"ingress": [{}]}}, OWN)

    async def right():
        return (await rig.get(NETWORK_POLICIES, name, OWN))["spec"] == mine["spec"]

    await rig.until("it is as it was", right, SOON)
    spent = rig.rack.api.counters.snapshot() - before
    assert spent.total(agent="nvdra-controller", resource="networkpolicies", code=200) == 1
    await rig.delete_all()
    await rig.clean()


async def test_a_roster_deleted_by_hand_is_rebuilt_with_the_same_indices(raised):
    """From the ComputeDomain's status: order of joining, not of names; IMEX daemons run on, workers keep their claims."""
    rig = await raised(3)
    await rig.create_domain()
    for node in ("node-2", "node-3", "node-1"):
        await rig.create_worker(f"w-{node}", node)
        await rig.running(f"w-{node}")
    indices, roster, files = await rig.indices(), await rig.roster(), rig.cdi("node-1")
    containers = [rig.daemon(node) for node in indices]
    assert indices == {"node-2": 0, "node-3": 1, "node-1": 2}
    await rig.until("the status remembers them", lambda: _remembered(rig, ["node-2", "node-3", "node-1"]))
    await rig.delete(ROSTERS, roster["metadata"]["name"], namespace=OWN)

    async def rebuilt():
        now = await rig.roster()
        return now and now["metadata"]["uid"] != roster["metadata"]["uid"] and await rig.indices() == indices

    await rig.until("the roster is there again", rebuilt, SOON)
    assert [rig.daemon(node) for node in indices] == containers
    assert all(container.ended is None for container in containers)
    assert rig.cdi("node-1") == files


async def test_a_foreign_claim_template_is_named_and_the_domain_heals_when_it_goes(raised, monkeypatch):
    """A template of the wanted name that is not ours: a condition and an Event, and it is not touched."""
    monkeypatch.setattr(engine, "REFUSED_AGAIN", 1.0)
    rig = await raised(1)
    await rig.create_domain("first")
    await rig.until("the first domain's children", lambda: _children(rig))
    await rig.create_domain("cd", template="first-channel")
    await rig.create_worker("a", "node-1", domain="first")
    await rig.running("a")
    said = await rig.said(
        "cd", "first-channel exists and belongs to the ComputeDomain with uid", "ForeignClaimTemplate"
    )
    assert said["type"] == "Warning"
    for kind in ("Provisioned", "Ready"):
        condition = await rig.until(f"condition {kind}", lambda k=kind: _because(rig, k, "ForeignClaimTemplate"))
        assert condition["status"] == "False"
        assert "choose another" in condition["message"]
    await rig.delete(PODS, "a")
    await rig.delete(DOMAINS, "first")

    async def provisioned():
        return (await rig.condition("Provisioned"))["status"] == "True"

    await rig.until("the domain is provisioned", provisioned)
    await rig.delete_all()
    await rig.clean()


async def test_a_template_written_by_hand_counts_as_foreign(raised, monkeypatch):
    """One without our label is neither taken over nor deleted with the domain."""
    monkeypatch.setattr(engine, "REFUSED_AGAIN", 1.0)
    rig = await raised(1)
    spec = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": names.CHANNEL_CLASS}}]}}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "cd-channel"},
            "spec": {"spec": spec}}  # fmt: skip
    made = await rig.rack.cluster.create(CLAIM_TEMPLATES, body, "default")
    await rig.create_domain()
    await rig.said("cd", "cd-channel exists and was not made by this ComputeDomain", "ForeignClaimTemplate")
    await rig.delete(DOMAINS, "cd")
    await rig.until("the domain is gone", lambda: _gone(rig))
    assert (await rig.get(CLAIM_TEMPLATES, "cd-channel"))["metadata"]["uid"] == made["metadata"]["uid"]


async def _children(rig):
    """Uids of the four children by kind, name and namespace; empty while one is missing or going."""
    found = {}
    for kind in (DAEMON_SETS, NETWORK_POLICIES, CLAIM_TEMPLATES):
        for there in await rig.all(kind, labels=names.DOMAIN_LABEL):
            if "deletionTimestamp" not in there["metadata"]:
                meta = there["metadata"]
                found[(kind, meta["name"], meta["namespace"])] = meta["uid"]
    return found if len(found) == 4 else {}


async def _daemon_set(rig):
    return (await rig.all(DAEMON_SETS, OWN, names.DOMAIN_LABEL))[0]


async def _remembered(rig, members):
    found = (await rig.domain())["status"].get("imexDomains") or [{}]
    return found[0].get("members") == members


async def _because(rig, kind, reason):
    condition = await rig.condition(kind)
    return condition if condition.get("reason") == reason else None


async def _gone(rig):
    return await rig.get(DOMAINS, "cd") is None
