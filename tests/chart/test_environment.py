"""The chart's environment variables are the commands' own, and what it sets can be used by them."""

import click
import pytest
from click.testing import CliRunner

from nvdra.apps import commands
from nvdra.apps.installation import install_crds, uninstall_check
from nvdra.apps.prestart import prestart
from nvdra.cli import COMMANDS
from tests.chart import helm
from tests.chart.helm import GUIDE, Json, objects, pod_of, rendered

pytestmark = pytest.mark.chart
FOREIGN = {"NVIDIA_VISIBLE_DEVICES"}
"""Not ours: the NVIDIA container runtime reads it."""
BY_ENV = {
    "KUBECONFIG": "in a pod there is the service account",
    "KUBE_API_QPS": "containers.*.env",
    "KUBE_API_BURST": "containers.*.env",
    "PREPARE_HOLD": "containers.computeDomains.env",
    "PROBE_INTERVAL": "containers.computeDomains.env",
    "KUBELET_PLUGINS_DIRECTORY_ON_HOST": "mounted at the host's own path",
}
"""Flags that no value of the chart is for, and why."""
FULL = (
    *GUIDE, "resourceApiVersion=v1", "altProcDevices=/x", "imagePullSecrets[0].name=s", "statecharts.compute-domain=x",
    "statecharts.daemon-claim=x",
)  # fmt: skip
PROGRAMS: dict[str, click.Command] = {
    "controller": commands.controller,
    "kubelet-plugin": commands.kubelet_plugin,
    "prestart": prestart,
    "install-crds": install_crds,
    "uninstall-check": uninstall_check,
}


def containers(*settings: str) -> list[Json]:
    """Every container of every workload and Job."""
    pods = [pod_of(o) for o in objects(rendered(*settings)) if o["kind"] in ("Deployment", "DaemonSet", "Job")]
    return [c for pod in pods for c in (*pod.get("initContainers", ()), *pod["containers"])]


def flags(program: str) -> dict[str, click.Option]:
    return {str(o.envvar): o for o in PROGRAMS[program].params if isinstance(o, click.Option)}


def test_every_container_runs_a_command_of_ours():
    """No container asks for a command that is not there, and each of ours is used by one."""
    assert sorted(c["command"][1] for c in containers(*FULL)) == sorted(PROGRAMS)
    assert [
        c["command"] for c in containers(*FULL) if c["command"][0] != "nvdra" or c["command"][1] not in COMMANDS
    ] == []


def test_every_variable_is_a_flag():
    """A variable that nobody reads would be a promise not kept."""
    unknown = [
        f"{c['name']}: {name}"
        for c in containers(*FULL)
        for name in helm.environment(c).keys() - FOREIGN - flags(c["command"][1]).keys()
    ]

    assert unknown == []


def test_every_flag_can_be_set():
    """Each flag of controller and plugin is set by the chart, or is named here with the way to set it."""
    for container in containers(*FULL):
        program = container["command"][1]
        if program in ("controller", "kubelet-plugin"):
            unset = flags(program).keys() - helm.environment(container).keys()
            assert unset - BY_ENV.keys() == set()


def test_every_value_is_one_that_the_command_takes():
    """What the chart sets is read without complaint: numbers are numbers, words are words that are known."""
    for settings in (
        FULL,
        (
            *GUIDE,
            "controller.leaderElection.retryPeriod=1.5s",
            "kubeletPlugin.containers.computeDomains.healthcheckPort=-1",
        ),
    ):
        for container in containers(*settings):
            program = PROGRAMS[container["command"][1]]
            environ = {n: v for n, v in helm.environment(container).items() if not v.startswith("{")} | {
                "NODE_NAME": "n"
            }
            context = CliRunner(env=environ).invoke(_parsed(program), [])
            assert context.exit_code == 0, context.output


def _parsed(program: click.Command) -> click.Command:
    """The same flags, and nothing done with them."""
    return click.Command(program.name, params=program.params, callback=lambda **_: None)


def test_ports_of_probes_are_those_that_are_served():
    """Probes ask where the process listens, whatever port was chosen."""
    found = {
        c["command"][1]: c
        for c in containers(
            "controller.metrics.httpEndpoint=0.0.0.0:9000", "kubeletPlugin.metrics.computeDomainHttpEndpoint=:9001"
        )
    }
    ports = {n: {p["name"]: p["containerPort"] for p in c.get("ports", ())} for n, c in found.items()}

    assert (ports["controller"], ports["kubelet-plugin"]) == ({"http": 9000}, {"http": 9001, "health": 51515})
    assert commands.endpoint(helm.environment(found["controller"])["HTTP_ENDPOINT"]) == ("0.0.0.0", 9000)
    assert found["kubelet-plugin"]["livenessProbe"]["grpc"] == {"port": 51515, "service": "liveness"}


def test_without_ports_there_are_no_probes():
    """Probes of what is not served would end the pods."""
    found = containers(
        "controller.metrics.enabled=false",
        "kubeletPlugin.metrics.enabled=false",
        "kubeletPlugin.containers.computeDomains.healthcheckPort=-1",
    )
    probed = [c["name"] for c in found if c.keys() & {"ports", "livenessProbe", "readinessProbe", "startupProbe"}]

    assert probed == []
