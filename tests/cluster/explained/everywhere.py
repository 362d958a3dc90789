"""How faults that strike all of the driver are made on the real cluster. With these, INJECTIONS is complete."""

import json

from nvdra.api import names
from tests.cluster import audit, installation
from tests.cluster.explained.cases import Case
from tests.cluster.explained.injections import INJECTIONS, injection
from tests.cluster.view import Json, running, until
from tests.cluster.workloads import domain, worker

__all__ = ["INJECTIONS"]
DRIVER = ("-n", names.DRIVER_NAMESPACE)


@injection("rbac", everywhere=True)
def _rbac(case: Case) -> None:
    without(case, "clusterrole", "kubelet-plugin", "nodes", "patch")
    without(case, "role", "controller", "daemonsets", "create")
    case.start()


@injection("rbac-reading", nodes=0, everywhere=True)
def _rbac_reading(case: Case) -> None:
    """A watch that is open goes on; who starts now may not begin one."""
    without(case, "clusterrole", "controller", "resourceslices", "list")
    restart_controller(case)
    case.create(domain(case.domain, 1))


@injection("throttled", everywhere=True)
def _throttled(case: Case) -> None:
    """By priority and fairness, as API servers do it: a level without seats or queues for the plugins' account."""
    case.create(domain(case.domain, 1))
    (pod, *_) = installation.pods(case.user, "kubelet-plugin")
    account = {"name": pod["spec"]["serviceAccountName"], "namespace": names.DRIVER_NAMESPACE}
    what = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    rules = [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": account}], "resourceRules": [what]}]
    seats = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**seats, "limitResponse": {"type": "Reject"}}}
    schema = {"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "no-seats"}, "rules": rules}
    until("the template", lambda: case.user.json("get", "resourceclaimtemplates")["items"], 20)
    flow = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": "no-seats"}}
    case.undo.callback(case.user.kubectl, "delete", "flowschema/no-seats", "prioritylevelconfiguration/no-seats")
    case.user.apply(
        {**flow, "kind": "PriorityLevelConfiguration", "spec": level}, {**flow, "kind": "FlowSchema", "spec": schema}
    )
    case.create(worker(case.domain, case.node.number))


@injection("clique-full", nodes=2, everywhere=True)
def _clique_full(case: Case) -> None:
    told(case, "deployment", "MAX_NODES_PER_IMEX_DOMAIN", "1")
    case.start(2)


@injection("plugin-unregistered", everywhere=True)
def _plugin_unregistered(case: Case) -> None:
    """The kubelet keeps the devices of a plugin that has gone for half a minute: a worker is still scheduled."""
    told(case, "daemonset", "KUBELET_REGISTRAR_DIRECTORY_PATH", "/tmp/elsewhere")
    case.start()


def told(case: Case, kind: str, variable: str, value: str) -> None:
    """An environment variable of the driver's own pods, until it is put right."""
    (found,) = case.user.json("get", kind, *DRIVER, "-l", installation.COMPONENT)["items"]
    (container,) = found["spec"]["template"]["spec"]["containers"]
    (before,) = (entry["value"] for entry in container["env"] if entry["name"] == variable)
    name = f"{kind}/{found['metadata']['name']}"

    def say(said: str) -> None:
        case.user.kubectl("set", "env", *DRIVER, name, "-c", container["name"], f"{variable}={said}")

    case.undo.callback(until, "the driver is ready", lambda: installation.ready(case.user), 60)
    case.undo.callback(say, before)
    say(value)
    until(f"{variable} is {value}", lambda: all_have(case, kind, variable, value), 60)


def all_have(case: Case, kind: str, variable: str, value: str) -> bool:
    """Whether just the pods with that setting run."""
    pods = installation.pods(case.user, "controller" if kind == "deployment" else "kubelet-plugin")
    wanted = {"name": variable, "value": value}
    return all(running(pod) and wanted in pod["spec"]["containers"][0]["env"] for pod in pods)


def without(case: Case, kind: str, of: str, resource: str, verb: str) -> None:
    """One verb of one resource is taken out of a role; the refusals that follow are none of the chart's."""
    (name,) = (
        name
        for name in case.user.kubectl("get", kind, *DRIVER, "-o", "name").split()
        if name.endswith(f"-{of}") and "nvidia" in name
    )
    rules: list[Json] = case.user.json("get", *DRIVER, name)["rules"]
    less = [
        rule | {"verbs": [v for v in rule["verbs"] if v != verb or resource not in rule["resources"]]} for rule in rules
    ]
    begun = audit.now()
    case.undo.callback(lambda: audit.WITHOUT_RULES.append((begun, audit.now())))
    case.undo.callback(put, case, name, rules)
    put(case, name, [rule for rule in less if rule["verbs"]])


def put(case: Case, role: str, rules: list[Json]) -> None:
    """Those rules, and no others."""
    patch = json.dumps({"rules": rules})
    case.user.kubectl("patch", *DRIVER, role, "--type=merge", "-p", patch)


def restart_controller(case: Case) -> None:
    """Another pod leads."""
    (before,) = installation.pods(case.user, "controller")
    case.user.kubectl("delete", "pod", *DRIVER, before["metadata"]["name"], "--timeout=60s")
