"""Values: what is misspelt or means nothing here is refused with its reason, and what is accepted is explained."""

import json

import jsonschema
import pytest
import yaml

from nvdra.apps.chart_values import values_of
from tests.chart import helm, tools
from tests.chart.helm import CHART, GUIDE, attempt

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_defaults_fit_the_schema():
    """Nobody is refused who sets nothing."""
    assert [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(VALUES)] == []


def test_every_value_is_explained():
    """Each value has its sentence, which ends as one, and each default is a value that the schema knows."""
    values = values_of(CHART)
    wrong = [v.path for v in values if not v.about.endswith(".") and not v.about.startswith("Helm")]

    assert wrong == []
    assert {v.path for v in values if v.known} == set(leaves(VALUES, SCHEMA))


def leaves(values, schema, path=""):
    """Every default, down to where the schema leaves the form to Kubernetes."""
    inner = schema.get("properties")
    if inner is None or path == "statecharts":
        return [path]
    return [leaf for key, value in values.items() for leaf in leaves(value, inner[key], f"{path}.{key}".lstrip("."))]


@pytest.mark.chart
@pytest.mark.parametrize("version", tools.WHEELS)
@pytest.mark.parametrize(("setting", "said"), [
    ("nvidiaDriverRot=/", "nvidiaDriverRot"),
    ("kubeletPlugin.containers.computeDomains.healthCheckPort=1", "healthCheckPort"),
    ("image.pullPolicy=Sometimes", "IfNotPresent"),
    ("nvidiaDriverRoot=run/nvidia", "^/"),
    ("controller.leaderElection.leaseDuration=1m", "leaseDuration"),
    ("statecharts.compute-domian=x", "compute-domian"),
])  # fmt: skip
def test_a_typo_is_refused(version: str, setting: str, said: str):
    """Nothing is accepted and ignored: helm names the value that it does not know."""
    run = attempt(setting, version=version)

    assert run.returncode != 0
    assert said in run.stderr


@pytest.mark.chart
@pytest.mark.parametrize(("settings", "said"), [
    (("resources.gpus.enabled=true",), "allocation of GPUs comes with a later milestone"),
    (("resources.computeDomains.enabled=false",), "would install nothing"),
    (("resources.computeDomains.imex.mode=hostManaged",), "runs the IMEX daemons itself"),
    (("resources.computeDomains.imex.isolation=channel",), "only domain is implemented"),
    (("resources.computeDomains.imex.hostSocketPath=/x",), "hostManaged"),
    (("controller.replicas=2", "controller.leaderElection.enabled=false"), "two controllers would write over one another"),
    (("controller.leaderElection.renewDeadline=20s",), "two could lead at once"),
    (("controller.metrics.profilePath=/debug",), "there are none here"),
    (("kubeletPlugin.updateStrategy.rollingUpdate.maxSurge=1",), "use maxUnavailable"),
    (("kubeletPlugin.metrics.gpuHttpEndpoint=:8080",), "no plugin for GPUs"),
    (("kubeletPlugin.containers.gpus.healthcheckPort=51516",), "no plugin for GPUs"),
    (("imexDaemons.resources.limits.memory=1Gi",), "ends its peers' jobs"),
    (("statecharts.imex-daemon=x",), "gives them no statecharts of yours yet"),
    (("namespace=x",), "give it to helm itself"),
    (("webhook.enabled=true",), "there is no webhook"),
    (("featureGates.IMEXDaemonsWithDNSNames=true",), "there are no feature gates"),
    (("consumableShares=memory",), "belongs to GPUs"),
    (("gpuResourcesEnabledOverride=true",), "belongs to GPUs"),
    (("maskNvidiaDriverParams=true",), "test hook"),
    (("nvidiaCDIHookPath=/x",), "no CDI hook is used"),
    (("selectorLabelsOverride.a=b",), "would be equal"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_its_reason(settings: tuple[str, ...], said: str):
    """Values that another driver has, and choices that would break something, say why they are refused."""
    run = attempt(*settings)

    assert run.returncode != 0
    assert said in run.stderr


@pytest.mark.chart
def test_every_refusal_is_tried():
    """Each value that docs/values.md calls refused is one of those above, or fails here too."""
    tried = {
        "namespace": "x", "controller.metrics.profilePath": "/x", "kubeletPlugin.metrics.gpuHttpEndpoint": "x",
        "kubeletPlugin.containers.gpus": "x", "imexDaemons.resources.limits": "x", "webhook.enabled": "true", "featureGates.a": "true",
        "consumableShares": "x", "gpuResourcesEnabledOverride": "true", "maskNvidiaDriverParams": "true", "nvidiaCDIHookPath": "/x",
        "selectorLabelsOverride.a": "b", "resources.computeDomains.imex.mode": "hostManaged",
    }  # fmt: skip
    called = {v.path for v in values_of(CHART) if v.about.startswith("Refused")}

    assert {path for path in called if not any(t.startswith(path) for t in tried)} == set()


@pytest.mark.chart
def test_the_go_drivers_defaults_are_no_offence():
    """A values file written for the Go driver's chart that leaves such things off is accepted."""
    settings = (
        *GUIDE, "webhook.enabled=false", "resources.computeDomains.imex.mode=driverManaged",
        "resources.computeDomains.imex.isolation=domain", "gpuResourcesEnabledOverride=false",
        "logVerbosity=6", "controller.leaderElection.leaseDuration=20s",
    )  # fmt: skip
    found = helm.environment(helm.pod_of(helm.one(helm.rendered(*settings), "Deployment"))["containers"][0])

    assert (found["LOG_LEVEL"], found["LEADER_ELECTION_LEASE_DURATION"]) == ("debug", "20")


@pytest.mark.chart
@pytest.mark.parametrize(
    ("verbosity", "level"), [("0", "warning"), ("4", "info"), ("5", "info"), ("6", "debug"), ("error", "error")]
)
def test_verbosity_is_a_level(verbosity: str, level: str):
    """Numbers of klog, which the Go driver's users know, and words lead to the same levels everywhere."""
    text = helm.rendered(f"logVerbosity={verbosity}")
    controller = helm.environment(helm.pod_of(helm.one(text, "Deployment"))["containers"][0])
    plugin = helm.environment(helm.pod_of(helm.one(text, "DaemonSet"))["containers"][0])

    assert {controller["LOG_LEVEL"], controller["LOG_LEVEL_CD_DAEMON"], plugin["LOG_LEVEL"]} == {level}


@pytest.mark.chart
def test_the_default_namespace_is_asked_about():
    """Nobody installs into `default` by oversight."""
    refused, allowed = attempt(namespace="default"), attempt("allowDefaultNamespace=true", namespace="default")

    assert (refused.returncode != 0, allowed.returncode) == (True, 0)
    assert "--create-namespace" in refused.stderr
