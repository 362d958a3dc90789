"""The network policy of a ComputeDomain, as a real API server keeps it. Nobody enforces it here: the bed has no such network."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from nvdra.api import names
from tests.cluster import audit, installation
from tests.cluster.view import Json, User, until
from tests.cluster.workloads import domain

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
OWN = ("-n", names.DRIVER_NAMESPACE)


@pytest.fixture
def guarded(user: User, all_gone: Callable[[], None]) -> Iterator[str]:
    """A ComputeDomain with its policy; everything of it gone afterwards."""
    name = f"guarded-{int(time.monotonic() * 10)}"
    user.apply(domain(name, 2))
    until("it has a policy", lambda: policies(user, name), 30)
    yield name
    user.kubectl("delete", "computedomain", name, "--ignore-not-found", "--timeout=60s")
    all_gone()


@pytest.mark.every_release
def test_a_domain_has_a_policy_of_its_own(user: User, guarded: str) -> None:
    """Its daemons reach each other's IMEX; it is the DaemonSet's, and so are its name and its end."""
    uid, (policy,) = uid_of(user, guarded), policies(user, guarded)
    mine = {"matchLabels": {names.DOMAIN_LABEL: uid}}
    imex, health = policy["spec"]["ingress"]
    assert policy["spec"]["podSelector"] == mine
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert imex["from"] == [{"podSelector": mine}]
    assert [port["port"] for port in imex["ports"]] == [names.IMEX_SERVER_PORT, names.IMEX_COMMAND_PORT]
    assert health == {"ports": [{"port": names.HEALTH_PORT, "protocol": "TCP"}]}
    (owner,) = policy["metadata"]["ownerReferences"]
    (daemon_set,) = user.json("get", "daemonsets", *OWN, "-l", f"{names.DOMAIN_LABEL}={uid}")["items"]
    assert (owner["kind"], owner["uid"]) == ("DaemonSet", daemon_set["metadata"]["uid"])
    assert policy["metadata"]["name"] == daemon_set["metadata"]["name"]
    user.kubectl("delete", "computedomain", guarded, "--timeout=60s")
    assert policies(user, uid=uid) == []


def test_a_changed_policy_is_put_right(user: User, guarded: str) -> None:
    """Wider, narrower, hidden or deleted; a field of somebody else's that has no effect starts no quarrel."""
    (before,) = policies(user, guarded)
    name, (imex, health) = before["metadata"]["name"], before["spec"]["ingress"]
    wide = {**imex, "from": [{**imex["from"][0], "namespaceSelector": {}}]}
    narrow = {"matchLabels": {**before["spec"]["podSelector"]["matchLabels"], "some": "pods"}}
    for drift in (
        {"spec": {"ingress": [wide, health]}},
        {"spec": {"podSelector": narrow}},
        {"spec": {"policyTypes": ["Ingress", "Egress"]}},
        {"spec": {"ingress": None}},
        {"metadata": {"labels": {names.DOMAIN_LABEL: None}}},
    ):
        user.kubectl("patch", "networkpolicy", name, *OWN, "--type=merge", "-p", json.dumps(drift))
        until(
            f"it is put right after {drift}",
            lambda: [p["spec"] for p in policies(user, guarded)] == [before["spec"]],
            30,
        )
    user.kubectl("delete", "networkpolicy", name, *OWN, "--timeout=30s")
    until("it is there again", lambda: policies(user, guarded), 30)

    user.kubectl("patch", "networkpolicy", name, *OWN, "--type=merge", "-p", json.dumps({"spec": {"egress": [{}]}}))
    kept = version(user, name)
    drift = json.dumps({"spec": {"updateStrategy": {"type": "RollingUpdate"}}})
    user.kubectl("patch", "daemonset", name, *OWN, "--type=merge", "-p", drift)
    until("the controller has looked at all of it", lambda: strategy(user, name) == "OnDelete", 30)
    assert version(user, name) == kept


def test_a_daemonset_made_anew_owns_it(user: User, guarded: str) -> None:
    """Whether or not the garbage collector was quicker."""
    (before,) = policies(user, guarded)
    name = before["metadata"]["name"]
    user.kubectl("delete", "daemonset", name, *OWN, "--timeout=30s")

    def owned() -> bool:
        sets = user.json("get", "daemonsets", *OWN, "-l", f"{names.DOMAIN_LABEL}={uid_of(user, guarded)}")["items"]
        owners = [[o["uid"] for o in p["metadata"]["ownerReferences"]] for p in policies(user, guarded)]
        return bool(sets) and owners == [[sets[0]["metadata"]["uid"]]]

    until("the new one owns it, and nobody else", owned, 60)


@pytest.mark.on_bed
def test_switched_off_none_is_made_and_an_old_one_goes_with_its_domain(
    user: User, guarded: str, all_gone: Callable[[], None]
) -> None:
    """Without any right to policies: the garbage collector takes what is left, and the value switched on makes them again."""
    build, begun = installation.build(user), audit.now()
    installation.by_helm(user, f"open-{guarded}", "imexDaemons.networkPolicy.enabled=false")
    until("the driver is ready", lambda: installation.marked(user, f"open-{guarded}"), 90)
    audit.WITHOUT_RULES.append((begun, audit.now()))  # the controller of before has lost its right to watch them
    try:
        assert len(policies(user, guarded)) == 1
        user.apply(domain(f"{guarded}-open", 2))
        until("it is provisioned", lambda: provisioned(user, f"{guarded}-open"), 30)
        assert policies(user, f"{guarded}-open") == []
        user.kubectl("delete", "computedomain", guarded, "--timeout=60s")
        until("its policy is gone", lambda: not user.json("get", "networkpolicies", *OWN)["items"], 30)
    finally:
        installation.by_helm(user, build)
        until("the driver is as before", lambda: installation.marked(user, build), 90)
    until("it has one after all", lambda: policies(user, f"{guarded}-open"), 30)
    user.kubectl("delete", "computedomain", f"{guarded}-open", "--timeout=60s")
    all_gone()


def policies(user: User, name: str = "", uid: str = "") -> list[Json]:
    """Those of a ComputeDomain."""
    label = f"{names.DOMAIN_LABEL}={uid or uid_of(user, name)}"
    found: list[Json] = user.json("get", "networkpolicies", *OWN, "-l", label)["items"]
    return found


def uid_of(user: User, name: str) -> str:
    return str(user.json("get", "computedomain", name)["metadata"]["uid"])


def version(user: User, name: str) -> str:
    return str(user.json("get", "networkpolicy", name, *OWN)["metadata"]["resourceVersion"])


def strategy(user: User, name: str) -> str:
    return str(user.json("get", "daemonset", name, *OWN)["spec"]["updateStrategy"]["type"])


def provisioned(user: User, name: str) -> bool:
    """Whether the controller has provisioned it and said so."""
    conditions = user.json("get", "computedomain", name).get("status", {}).get("conditions", ())
    return any(c["type"] == "Provisioned" and c["status"] == "True" for c in conditions)
