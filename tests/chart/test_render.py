"""What helm makes of the chart is valid, complete, and called as the guide shows."""

import re

import pytest
import yaml

import nvdra
from nvdra.api import names
from nvdra.sim import manifests
from tests.chart import helm, strict, tools
from tests.chart.helm import GUIDE, NAMESPACE, SERVED, objects, one, pod_of, rendered
from tests.chart.roles import rules

pytestmark = pytest.mark.chart
HELMS = list(tools.WHEELS)
EVERYTHING = (
    "controller.replicas=2", "controller.networkPolicy.enabled=true", "kubeletPlugin.networkPolicy.enabled=true",
    "kubeletPlugin.containers.computeDomains.gpuCliqueLabelEnabled=true", "altProcDevices=/etc/proc-devices",
    "imagePullSecrets[0].name=one", "imagePullSecrets[1].name=two", "controller.podAnnotations.a=b", "kubeletPlugin.podAnnotations.a=b",
    "serviceAccount.annotations.a=b", "statecharts.compute-domain=a: b", "statecharts.channel-claim=a: b",
    "controller.containers.computeDomain.env[0].name=KUBE_API_QPS", "controller.containers.computeDomain.env[0].value=n9",
    "controller.podSecurityContext.fsGroup=1", "kubeletPlugin.nodeSelector.a=b",
)  # fmt: skip
"""Every optional part at once."""


@pytest.mark.parametrize("version", HELMS)
def test_lint(version: str):
    """Helm itself finds nothing wrong."""
    run = helm.run(version, "lint", "--strict", "--namespace", NAMESPACE, str(helm.CHART))

    assert (run.returncode, re.findall(r"\[(?:WARNING|ERROR)\].*", run.stdout)) == (0, [])


@pytest.mark.parametrize("version", HELMS)
@pytest.mark.parametrize("kubernetes", SERVED)
def test_every_object_is_valid(version: str, kubernetes: str):
    """For each Kubernetes and each helm, every field is one that the API has."""
    for settings in (GUIDE, EVERYTHING):
        text = rendered(*settings, version=version, kubernetes=kubernetes, apis=("security.openshift.io/v1",))

        assert [fault for found in objects(text) for fault in strict.faults(found)] == []


def test_both_helms_make_the_same():
    """Nobody depends on the version of helm."""
    assert [objects(rendered(*EVERYTHING, version=version)) for version in HELMS[1:]] == [
        objects(rendered(*EVERYTHING, version=HELMS[0]))
    ]


@pytest.mark.parametrize(
    ("kubernetes", "served"), [("1.32", "v1beta1"), ("1.33", "v1beta2"), ("1.34", "v1"), ("1.37", "v1")]
)
def test_device_classes_are_of_the_newest_version(kubernetes: str, served: str):
    """The DeviceClasses say the same as the rack's, in the newest version that the cluster has."""
    found = [o for o in objects(rendered(*GUIDE, kubernetes=kubernetes)) if o["kind"] == "DeviceClass"]

    assert {o["apiVersion"] for o in found} == {f"resource.k8s.io/{served}"}
    assert {o["metadata"]["name"]: o["spec"] for o in found} == {
        c["metadata"]["name"]: c["spec"] for c in manifests.device_classes()
    }


def test_the_version_can_be_ordered():
    """An administrator's choice goes to DeviceClasses and to our processes."""
    text = rendered("resourceApiVersion=v1beta1")

    assert {o["apiVersion"] for o in objects(text) if o["kind"] == "DeviceClass"} == {"resource.k8s.io/v1beta1"}
    for kind in ("Deployment", "DaemonSet"):
        assert helm.environment(pod_of(one(text, kind))["containers"][0])["RESOURCE_API_VERSION"] == "v1beta1"


def test_names_are_those_of_the_guide():
    """`kubectl get pod` shows the pods' names as the guide does, and labels are those that the rack has."""
    text = rendered(*GUIDE)
    workloads = [one(text, "Deployment"), one(text, "DaemonSet")]

    assert [w["metadata"]["name"] for w in workloads] == [
        "nvidia-dra-driver-k8s-dra-driver-controller",
        "nvidia-dra-driver-k8s-dra-driver-kubelet-plugin",
    ]
    rack = [manifests.controller_pod(18)["metadata"], manifests.plugin_daemonset()["metadata"]]
    assert [w["metadata"]["name"] for w in workloads] == [m["name"] for m in rack]
    for workload, meta in zip(workloads, rack, strict=True):
        assert meta["labels"].items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    accounts = {
        o["metadata"]["name"]
        for o in objects(text)
        if o["kind"] == "ServiceAccount" and "annotations" not in o["metadata"]
    }
    assert accounts == {
        "nvidia-dra-driver-k8s-dra-driver-service-account-controller",
        "nvidia-dra-driver-k8s-dra-driver-service-account-kubeletplugin",
        names.DAEMON_SERVICE_ACCOUNT,
    }


def test_everything_is_in_its_namespace():
    """An override of the namespace reaches every object and every subject."""
    text = rendered("namespaceOverride=elsewhere", *EVERYTHING)
    cluster_wide = {
        "ClusterRole",
        "ClusterRoleBinding",
        "PriorityClass",
        "DeviceClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }

    assert {o["metadata"].get("namespace", "elsewhere") for o in objects(text)} == {"elsewhere"}
    assert {o["kind"] for o in objects(text) if "namespace" not in o["metadata"]} == cluster_wide
    assert {s["namespace"] for o in objects(text) for s in o.get("subjects", ())} == {"elsewhere"}
    assert "system:serviceaccount:nvidia" not in text


@pytest.mark.parametrize(("root", "above", "seen"), [
    ("/run/nvidia/driver", "/run/nvidia", "/driver-root-parent/driver"),
    ("/run/nvidia/driver/", "/run/nvidia", "/driver-root-parent/driver"),
    ("/", "/", "/driver-root-parent"),
    ("/opt", "/", "/driver-root-parent/opt"),
])  # fmt: skip
def test_the_driver_root_is_seen_through_its_parent(root: str, above: str, seen: str):
    """A driver that is mounted, unmounted or replaced while we run is seen: read-only, in both containers."""
    pod = pod_of(one(rendered(f"nvidiaDriverRoot={root}"), "DaemonSet"))
    volumes = {v["name"]: v["hostPath"]["path"] for v in pod["volumes"]}

    assert volumes["driver-root-parent"] == above
    for container in (pod["initContainers"][0], pod["containers"][0]):
        found = helm.environment(container)
        assert (found["DRIVER_ROOT_CTR_PATH"], found["NVIDIA_DRIVER_ROOT"]) == (seen, root.rstrip("/") or "/")
        mount = next(m for m in container["volumeMounts"] if m["name"] == "driver-root-parent")
        assert (mount["readOnly"], mount["mountPropagation"]) == (True, "HostToContainer")


def test_the_plugin_sees_the_hosts_folders_at_their_own_paths():
    """Sockets and CDI files name paths of the host, so container and host must agree."""
    text = rendered(
        "kubeletPlugin.kubeletPluginsDirectoryPath=/k/plugins",
        "kubeletPlugin.kubeletRegistrarDirectoryPath=/k/registry",
    )
    pod = pod_of(one(text, "DaemonSet"))
    hosts = {v["name"]: v["hostPath"]["path"] for v in pod["volumes"]}
    seen = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}

    expected = {"plugins-registry": "/k/registry", "plugins": "/k/plugins", "cdi": "/var/run/cdi", "dev": "/dev"}
    assert expected.items() <= hosts.items()
    assert expected.items() <= seen.items()


def test_imex_daemons_are_as_the_chart_says():
    """What the values say of IMEX daemons reaches the controller, whose manifests fit the account."""
    text = rendered(
        "imexDaemons.resources.requests.cpu=2", "image.tag=x", "image.pullPolicy=Never", "imagePullSecrets[0].name=s"
    )
    found = helm.environment(pod_of(one(text, "Deployment"))["containers"][0])

    assert (found["CD_DAEMON_RESOURCE_REQUESTS"], found["IMAGE_NAME"], found["IMAGE_PULL_POLICY"]) == (
        "cpu=2,memory=64Mi",
        "nvdra:x",
        "Never",
    )
    assert found["CD_DAEMON_IMAGE_PULL_SECRET_NAMES"] == "s"
    assert found["CD_DAEMON_PRIORITY_CLASS"] == one(text, "PriorityClass")["metadata"]["name"]


@pytest.mark.parametrize("wanted", [True, False])
def test_network_policies_are_the_controllers(wanted: bool):
    """The chart makes none for IMEX daemons; the controller is told whether to, and has the right only then."""
    text = rendered(f"imexDaemons.networkPolicy.enabled={str(wanted).lower()}")
    granted = [rule for rule in rules(text) if "networkpolicies" in rule.resources]

    assert helm.environment(pod_of(one(text, "Deployment"))["containers"][0])["NETWORK_POLICIES"] == str(wanted).lower()
    assert {verb for rule in granted for verb in rule.verbs} == (
        {"list", "watch", "create", "patch", "delete"} if wanted else set()
    )
    assert {(rule.account.rpartition("-")[2], rule.namespace) for rule in granted} == (
        {("controller", helm.NAMESPACE)} if wanted else set()
    )
    assert [o for o in objects(text) if o["kind"] == "NetworkPolicy"] == []


def test_a_priority_class_of_ones_own():
    """A named class wins, and none is made where none is wanted."""
    named = rendered("imexDaemons.priorityClass.name=mine", "imexDaemons.priorityClass.create=false")
    none = rendered("imexDaemons.priorityClass.create=false")

    assert helm.environment(pod_of(one(named, "Deployment"))["containers"][0])["CD_DAEMON_PRIORITY_CLASS"] == "mine"
    assert "CD_DAEMON_PRIORITY_CLASS" not in none
    assert "kind: PriorityClass" not in named + none


def test_only_one_controller_at_a_time():
    """A new controller takes over by election; without one the old ends first."""
    elected = one(rendered("controller.replicas=2"), "Deployment")["spec"]
    alone = one(rendered("controller.leaderElection.enabled=false"), "Deployment")["spec"]

    assert (elected["replicas"], elected["strategy"]) == (
        2,
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    )
    assert alone["strategy"] == {"type": "Recreate"}
    assert "leases" not in rendered("controller.leaderElection.enabled=false")


def test_statecharts_go_to_who_runs_them(tmp_path):
    """One of the controller's restarts the controller only, and arrives letter by letter."""
    chart = (helm.ROOT / "statecharts/compute-domain.yaml").read_text()
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"statecharts": {"compute-domain": chart}}))
    text = rendered(str(values))
    pods = {kind: one(text, kind)["spec"]["template"] for kind in ("Deployment", "DaemonSet")}

    assert one(text, "ConfigMap")["data"] == {"compute-domain.yaml": chart}
    assert helm.environment(pods["Deployment"]["spec"]["containers"][0])["STATECHARTS"] == "/etc/nvdra/statecharts"
    assert "checksum/statecharts" in pods["Deployment"]["metadata"]["annotations"]
    assert pods["DaemonSet"] == one(rendered(), "DaemonSet")["spec"]["template"]


def test_a_release_restarts_nobody_without_need():
    """Pods of another chart version are the same unless their image is: the chart's version is on no pod."""
    for kind in ("Deployment", "DaemonSet"):
        assert "helm.sh/chart" not in one(rendered(), kind)["spec"]["template"]["metadata"]["labels"]


def test_roles_of_ones_own():
    """Without service accounts of ours there are no roles of ours, and no Job that would need one."""
    kinds = {o["kind"] for o in objects(rendered("serviceAccount.create=false", "serviceAccount.name=mine"))}

    assert kinds & {"ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} == set()
    assert "mine-kubeletplugin" in rendered("serviceAccount.create=false", "serviceAccount.name=mine")


def test_the_chart_is_of_this_version():
    """Chart and package are released together."""
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())

    assert (chart["appVersion"], chart["version"]) == (nvdra.__version__, nvdra.__version__)


def test_kubernetes_before_dra_is_refused():
    """1.31 has no DynamicResourceAllocation that we speak."""
    run = helm.run(helm.NEWEST, "template", "r", str(helm.CHART), "--namespace", "n", "--kube-version", "1.31")

    assert run.returncode != 0
    assert ">=1.32.0-0" in run.stderr


def test_notes_tell_how_to_verify():
    """After the guide's command, helm prints its verify steps, and what of its values is not used.

    Helm 3 wants a whole cluster even for a dry run; its lint has seen that the notes are a template.
    """
    words = [word for value in GUIDE for word in ("--set", value)]
    place = ["--dry-run=client", "--create-namespace", "--namespace", NAMESPACE]
    run = helm.run(helm.NEWEST, "install", helm.RELEASE, str(helm.CHART), *place, *words)

    assert run.returncode == 0, run.stderr
    notes = run.stdout.partition("NOTES:")[2]
    for said in (
        f"kubectl get pod -n {NAMESPACE}",
        "nvidia.com/gpu.clique",
        "examples/imex-channel-injection.yaml",
        "nvidiaCtkPath (/usr/local/nvidia/toolkit/nvidia-ctk) is accepted and not used",
    ):
        assert said in notes
