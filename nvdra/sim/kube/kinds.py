"""The resources that the rack's agents read and write, untyped: their objects are plain dicts."""

from nvdra.api.kind import Kind
from nvdra.sim.kube.shapes import Json


def _kind(kind: str, plural: str, group: str = "", version: str = "v1", *, namespaced: bool = True) -> Kind[Json]:
    return Kind(dict, kind, plural, version=version, group=group, namespaced=namespaced)


NODES = _kind("Node", "nodes", namespaced=False)
PODS = _kind("Pod", "pods")
EVENTS = _kind("Event", "events")
SERVICES = _kind("Service", "services")
CONFIG_MAPS = _kind("ConfigMap", "configmaps")
SECRETS = _kind("Secret", "secrets")
DAEMON_SETS = _kind("DaemonSet", "daemonsets", "apps")
NETWORK_POLICIES = _kind("NetworkPolicy", "networkpolicies", "networking.k8s.io")
JOBS = _kind("Job", "jobs", "batch")
MPI_JOBS = _kind("MPIJob", "mpijobs", "kubeflow.org", "v2beta1")
CRDS = _kind("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", namespaced=False)
CLAIMS = _kind("ResourceClaim", "resourceclaims", "resource.k8s.io")
CLAIM_TEMPLATES = _kind("ResourceClaimTemplate", "resourceclaimtemplates", "resource.k8s.io")
CLASSES = _kind("DeviceClass", "deviceclasses", "resource.k8s.io", namespaced=False)
SLICES = _kind("ResourceSlice", "resourceslices", "resource.k8s.io", namespaced=False)
