"""How faults that strike all of the driver are made on the real cluster. With these, INJECTIONS is complete."""

import json

from nvdra.api import names
from tests.cluster import audit, installation
from tests.cluster.explained.cases import Case
from tests.cluster.explained.injections import INJECTIONS, injection
from tests.cluster.view import Json, running, until
from tests.cluster.workloads import domain

__all__ = ["INJECTIONS"]
DRIVER = ("-n", names.DRIVER_NAMESPACE)


@injection("rbac", everywhere=True, undo_first=True)
def _rbac(case: Case) -> None:
    without(case, "clusterrole", "kubelet-plugin", "nodes", "patch")
    without(case, "role", "controller", "daemonsets", "create")
    case.start()


@injection("rbac-reading", nodes=0, everywhere=True, undo_first=True)
def _rbac_reading(case: Case) -> None:
    """A watch that is open goes on; who starts now may not begin one."""
    without(case, "clusterrole", "controller", "resourceslices", "list")
    restart_controller(case)
    case.create(domain(case.domain, 1))


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
    role = case.user.json("get", *DRIVER, name)
    less = [
        rule | {"verbs": [v for v in rule["verbs"] if v != verb or resource not in rule["resources"]]}
        for rule in role["rules"]
    ]
    begun = audit.now()
    case.undo.callback(lambda: audit.WITHOUT_RULES.append((begun, audit.now())))
    case.undo.callback(put, case, role)
    put(case, role | {"rules": [rule for rule in less if rule["verbs"]]})


def put(case: Case, role: Json) -> None:
    """With these rules and no others, in Helm's name: its next upgrade would refuse what somebody else has changed."""
    meta = {
        key: role["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in role["metadata"]
    }
    told = json.dumps(role | {"metadata": meta})
    case.user.kubectl("apply", "--server-side", "--field-manager=helm", "--force-conflicts", "-f", "-", told=told)


def restart_controller(case: Case) -> None:
    """Another pod leads."""
    (before,) = installation.pods(case.user, "controller")
    case.user.kubectl("delete", "pod", *DRIVER, before["metadata"]["name"], "--timeout=60s")
