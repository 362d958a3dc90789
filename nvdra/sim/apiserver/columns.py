"""Which columns `kubectl get` shows of each kind. One line a column; cells.py says how a cell is made."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from nvdra.sim.apiserver import cells, jsonpath
from nvdra.sim.apiserver.cells import Json, Value
from nvdra.sim.apiserver.resources import Resource


@frozen
class Column:
    """One column; `priority` 1 is shown with -o wide only."""

    name: str
    value: Value
    type: str = "string"
    priority: int = 0
    description: str = ""

    def definition(self) -> Json:
        """For the client."""
        return {
            "name": self.name,
            "type": self.type,
            "format": "name" if self.name == "Name" else "",
            "description": self.description,
            "priority": self.priority,
        }


NAME = Column("Name", cells.at("metadata.name"))
AGE = Column("Age", cells.aged("metadata.creationTimestamp"))


def _wide(name: str, path: str) -> Column:
    return Column(name, cells.at(path), priority=1)


def _number(name: str, path: str) -> Column:
    return Column(name, cells.at(path, 0), "integer")


BUILT_IN: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): (
        NAME,
        Column("Ready", cells.pod_ready),
        Column("Status", cells.pod_status),
        Column("Restarts", cells.restarts),
        AGE,
        _wide("IP", "status.podIP"),
        _wide("Node", "spec.nodeName"),
        _wide("Nominated Node", "status.nominatedNodeName"),
        _wide("Readiness Gates", "spec.readinessGates"),
    ),
    ("", "nodes"): (
        NAME,
        Column("Status", cells.node_status),
        Column("Roles", cells.roles),
        AGE,
        Column("Version", cells.at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", cells.address, priority=1),
        _wide("OS-Image", "status.nodeInfo.osImage"),
        _wide("Kernel-Version", "status.nodeInfo.kernelVersion"),
        _wide("Container-Runtime", "status.nodeInfo.containerRuntimeVersion"),
    ),
    ("", "namespaces"): (NAME, Column("Status", cells.at("status.phase")), AGE),
    ("", "events"): (
        Column("Last Seen", cells.last_seen),
        Column("Type", cells.at("type")),
        Column("Reason", cells.at("reason")),
        Column("Object", cells.event_object),
        Column("Message", cells.at("message", "")),
        Column("Name", cells.at("metadata.name"), priority=1),
    ),
    ("", "services"): (
        NAME,
        Column("Type", cells.at("spec.type")),
        Column("Cluster-IP", cells.at("spec.clusterIP")),
        AGE,
    ),
    ("", "configmaps"): (NAME, Column("Data", cells.count("data"), "integer"), AGE),
    ("", "secrets"): (NAME, Column("Type", cells.at("type")), Column("Data", cells.count("data"), "integer"), AGE),
    ("apps", "daemonsets"): (
        NAME,
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        Column("Node Selector", cells.selector("spec.template.spec.nodeSelector")),
        AGE,
    ),
    ("apps", "deployments"): (
        NAME,
        Column(
            "Ready", lambda d, n: f"{cells.at('status.readyReplicas', 0)(d, n)}/{cells.at('spec.replicas', 0)(d, n)}"
        ),
        _number("Up-to-date", "status.updatedReplicas"),
        _number("Available", "status.availableReplicas"),
        AGE,
    ),
    ("apps", "replicasets"): (
        NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        AGE,
    ),
    ("batch", "jobs"): (
        NAME,
        Column("Status", cells.job_status),
        Column("Completions", cells.completions),
        Column("Duration", cells.job_duration),
        AGE,
    ),
    ("networking.k8s.io", "networkpolicies"): (
        NAME,
        Column("Pod-Selector", cells.selector("spec.podSelector.matchLabels")),
        AGE,
    ),
    ("coordination.k8s.io", "leases"): (NAME, Column("Holder", cells.at("spec.holderIdentity", "")), AGE),
    ("resource.k8s.io", "resourceclaims"): (NAME, Column("State", cells.claim_state), AGE),
    ("resource.k8s.io", "resourceslices"): (
        NAME,
        Column("Node", cells.at("spec.nodeName")),
        Column("Driver", cells.at("spec.driver")),
        Column("Pool", cells.at("spec.pool.name")),
        AGE,
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        NAME,
        Column("Created At", cells.at("metadata.creationTimestamp")),
    ),
    ("scheduling.k8s.io", "priorityclasses"): (NAME, _number("Value", "value"), AGE),
}


def of(resource: Resource) -> list[Column]:
    """The columns of a resource."""
    if resource.definition is not None:
        return _custom(resource)
    return list(BUILT_IN.get(resource.key, (NAME, AGE)))


def _custom(resource: Resource) -> list[Column]:
    assert resource.definition is not None
    versions = resource.definition["spec"]["versions"]
    said = next(v for v in versions if v["name"] == resource.versions[0]).get("additionalPrinterColumns")
    if said is None:
        return [NAME, AGE]
    return [NAME, *(_printed(column) for column in said)]


def _printed(column: Json) -> Column:
    path = jsonpath.parse(column["jsonPath"])

    def value(obj: Json, now: float) -> Any:
        found = jsonpath.find(path, obj)
        if column["type"] == "date":
            return cells.since(found, now)
        return found

    return Column(column["name"], value, column["type"], column.get("priority", 0), column.get("description", ""))
