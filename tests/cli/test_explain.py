"""`nvdra explain`, against an API server over HTTP, with and without the right to see."""

import asyncio
import contextlib
import json
import sys

import pytest
import yaml

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.api import kinds, names
from nvdra.apps.explain import account_of, place_of, shown
from nvdra.domains.compute_domain.manifests import network_policy
from nvdra.errors import ConfigError
from nvdra.sim.apiserver.faults import Rule
from nvdra.sim.apiserver.server import ApiServer, kubeconfig
from tests.builders import CLIQUE, OWN, Little

PLACE = ("default", "cd")


@pytest.fixture
async def scene(tmp_path):
    """A domain of two nodes, one of them late, as it would be with no controller about; its server, and a kubeconfig."""
    little = await Little.started()
    server = ApiServer(little.store)
    await server.start()
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(server.url))
    domain = await little.domain("cd", nodes=2)
    uid = domain.metadata.uid
    await little.node("node-1")
    await little.node("node-2")
    await little.up(["node-1"], uid)
    await little.join("node-2", uid)
    await little.daemon("node-2", uid, ready=False)
    note = {"metadata": {"annotations": {names.NOTE_ANNOTATION: "port 50000 in use: see who listens there"}}}
    await little.hands.patch(kinds.PODS, "daemon-node-2", note, OWN)
    try:
        yield little, server, file
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def client(file):
    found = KubeClient(load(str(file)), "explain")
    try:
        yield found
    finally:
        await found.close()


async def explained(file):
    async with client(file) as reader:
        return await account_of(reader, PLACE)


def life(account, statechart):
    return next(life for life in account.lives if life.statechart == statechart)


def fact(account, name, statechart="compute-domain"):
    return next(fact for fact in life(account, statechart).facts if fact.name == name)


async def test_facts_have_the_object_and_field_that_they_were_read_from(scene):
    """What holds, what does not, why, and where it stands."""
    _, _, file = scene
    account = await explained(file)
    assert fact(account, "finalized").holds is False
    assert fact(account, "finalized").source == "ComputeDomain default/cd metadata.finalizers"
    late = fact(account, "all_ready")
    assert (late.holds, late.source) == (False, f"Pod {OWN}/daemon-node-2 status.conditions[Ready]")
    assert "port 50000 in use" in late.because


async def test_the_path_begins_at_the_beginning_and_ends_where_it_waits(scene):
    """A domain that no controller has touched waits for its finalizer, and the IMEX domain for its roster."""
    _, _, file = scene
    account = await explained(file)
    domain, clique = life(account, "compute-domain"), life(account, "imex-domain")
    assert (domain.state, domain.path) == ("Admitting", ("Admitting",))
    assert domain.orders == ("present finalizer",)
    assert domain.waits == (f"finalized: finalizer {names.FINALIZER} is not on it",)
    assert (clique.state, clique.subject) == ("Open.Gathering", f"clique {CLIQUE}")
    assert [wait.partition(":")[0] for wait in clique.waits] == ["listed"]


async def test_nodes_are_told_with_their_daemons(scene):
    """Each with its clique and its daemon's pod, and why it is late."""
    _, _, file = scene
    account = await explained(file)
    assert [(node.name, node.clique, [pod.path for pod in node.daemons]) for node in account.nodes] == [
        ("node-1", CLIQUE, [f"{OWN}/daemon-node-1"]),
        ("node-2", CLIQUE, [f"{OWN}/daemon-node-2"]),
    ]
    assert account.nodes[0].stands == "is ready"
    assert "port 50000 in use" in account.nodes[1].stands
    assert account.nodes[1].plugin == "no kubelet plugin of the driver runs on node-2"
    assert account.todo == ("see who listens there (ss -ltnp on the node) and stop it",)


async def test_who_may_reach_the_daemons_is_told(scene):
    """By the domain's network policy, which may be there, not be there, be changed, or not be read."""
    little, server, file = scene
    assert (await explained(file)).guard == ""  # no daemons, nothing to reach
    uid = (await little.hands.get(kinds.COMPUTE_DOMAINS, "cd", "default")).metadata.uid
    labels = {names.DOMAIN_LABEL: uid}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    owner = await little.hands.create(
        kinds.DAEMON_SETS, {"metadata": {"name": "d", "labels": labels}, "spec": spec}, OWN
    )
    assert (await explained(file)).guard.startswith("open to every pod")
    policy = network_policy(uid, owner)
    await little.hands.create(kinds.NETWORK_POLICIES, policy, OWN)
    account = await explained(file)
    assert account.guard.startswith(f"open to this domain's daemons only, by NetworkPolicy {OWN}/d")
    assert f"IMEX ports {account.guard}" in " ".join(shown(account, "text").split())
    await little.hands.patch(kinds.NETWORK_POLICIES, "d", {"spec": {"ingress": [{}]}}, OWN)
    assert (await explained(file)).guard.startswith(f"NetworkPolicy {OWN}/d was changed by somebody")
    server.faults.order(Rule("forbidden", resource="networkpolicies", agent="nvdra-explain"))
    account = await explained(file)
    assert account.guard.startswith("not known")
    assert fact(account, "drained").holds is None


async def test_a_worker_without_a_node_is_told_with_the_schedulers_word(scene):
    """It is found by the claim template that it names; what to do is said where nothing else is wrong."""
    little, _, file = scene
    await little.daemon("node-2", "", ready=True)
    why = "0/3 nodes are available: 2 cannot allocate all claims."
    claims = [{"name": "channel", "resourceClaimTemplateName": "cd-channel"}]
    container = {"name": "worker", "image": "ubuntu:22.04"}
    spec = {"containers": [container], "resourceClaims": claims}
    await little.hands.create(kinds.PODS, {"metadata": {"name": "late"}, "spec": spec}, "default")
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}]
    status = {"status": {"phase": "Pending", "conditions": conditions}}
    await little.hands.patch(kinds.PODS, "late", status, "default", subresource="status")
    account = await explained(file)
    assert [(pod.path, pod.stands) for pod in account.unplaced] == [("default/late", f"Pending: {why}")]
    assert [todo.split()[0] for todo in account.todo] == ["do", "one"]  # no plugin runs here either


async def test_what_may_not_be_read_is_listed_and_not_guessed(scene):
    """No right to see nodes: facts that rest on them are not known; the state is the one that the status tells."""
    little, server, file = scene
    conditions = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Assembling",
            "message": "as told",
            "lastTransitionTime": "2026-11-25T10:00:00Z",
        }
    ]
    await little.hands.patch(
        kinds.COMPUTE_DOMAINS, "cd", {"status": {"conditions": conditions}}, "default", subresource="status"
    )
    server.faults.order(Rule("forbidden", resource="nodes", agent="nvdra-explain"))
    account = await explained(file)
    assert [unread.partition(":")[0] for unread in account.unread] == ["Node"]
    assert "403 Forbidden" in account.unread[0]
    assert [f.name for f in life(account, "compute-domain").facts if f.holds is None] == [
        "formed",
        "all_ready",
        "degraded",
        "drained",
    ]
    assert life(account, "compute-domain").state == "Serving.Assembling"
    assert account.waits == "as told"
    assert "? formed" in shown(account, "text")


async def test_who_may_read_one_namespace_only_is_told_what_is_there(scene):
    """Everything but the ComputeDomain itself is forbidden: it still answers, with the conditions."""
    _, server, file = scene
    server.faults.order(Rule("forbidden", verb="list", agent="nvdra-explain"))
    account = await explained(file)
    kinds_unread = {unread.partition(":")[0] for unread in account.unread}
    assert kinds_unread == {
        "Node", "Pod", "DaemonSet", "ComputeDomainClique", "ResourceClaimTemplate", "ResourceSlice", "ResourceClaim", "Event",
        "NetworkPolicy",
    }  # fmt: skip
    assert life(account, "compute-domain").state == "not known"


async def test_a_domain_that_is_not_there_is_an_error_with_its_last_warning(scene):
    """Not a traceback; what was said of it before it went is said again."""
    little, _, file = scene
    meta = {"name": "gone.1", "namespace": "default"}
    about = {"kind": "ComputeDomain", "name": "gone", "namespace": "default"}
    event = {
        "metadata": meta,
        "involvedObject": about,
        "type": "Warning",
        "reason": "R",
        "message": "it was deleted while in use",
    }
    await little.hands.create(kinds.EVENTS, event, "default")
    async with client(file) as reader:
        with pytest.raises(ConfigError, match=r"no ComputeDomain gone in namespace default.*deleted while in use"):
            await account_of(reader, ("default", "gone"))


@pytest.mark.parametrize("words", [["computedomain", "default/cd"], ["cd", "cd"], ["computedomains", "cd"]])
async def test_the_command_line(scene, words):
    """NAMESPACE/NAME, or a name in the kubeconfig's namespace; cd for short; text, JSON and YAML say the same."""
    _, _, file = scene
    text, as_json, as_yaml = await asyncio.gather(
        *(nvdra(*words, "--kubeconfig", str(file), "-o", form) for form in ("text", "json", "yaml"))
    )
    assert text.startswith("ComputeDomain default/cd: NotReady")
    told, same = json.loads(as_json), yaml.safe_load(as_yaml)
    assert {**told, "now": 0} == {**same, "now": 0}
    assert told["todo"][0] in text
    assert list(told)[:4] == ["domain", "uid", "status", "since"]


async def nvdra(*words):
    command = [sys.executable, "-m", "nvdra", "explain", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


@pytest.mark.parametrize("text", ["a/b/c", "/b", "a/", ""])
def test_a_name_that_is_none_is_refused(text):
    """With what it should be like."""
    with pytest.raises(ConfigError, match="is not like NAMESPACE/NAME"):
        place_of(text, "default")
