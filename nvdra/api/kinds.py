"""The kinds that the driver reads and writes. Whoever needs only the Kind class, or ours alone, imports less."""

from nvdra.api import computedomain, objects, resources
from nvdra.api.kind import Kind

NODES = Kind(objects.Node, "Node", "nodes", namespaced=False)
PODS = Kind(objects.Pod, "Pod", "pods")
EVENTS = Kind(objects.Event, "Event", "events")
DAEMON_SETS = Kind(objects.DaemonSet, "DaemonSet", "daemonsets", group="apps")
NETWORK_POLICIES = Kind(objects.NetworkPolicy, "NetworkPolicy", "networkpolicies", group="networking.k8s.io")
LEASES = Kind(objects.Lease, "Lease", "leases", group="coordination.k8s.io")
RESOURCE_CLAIMS = Kind(resources.ResourceClaim, "ResourceClaim", "resourceclaims", group="resource.k8s.io")
CLAIM_TEMPLATES = Kind(
    resources.ResourceClaimTemplate, "ResourceClaimTemplate", "resourceclaimtemplates", group="resource.k8s.io"
)
RESOURCE_SLICES = Kind(
    resources.ResourceSlice, "ResourceSlice", "resourceslices", group="resource.k8s.io", namespaced=False
)
COMPUTE_DOMAINS = computedomain.COMPUTE_DOMAINS
ROSTERS = computedomain.ROSTERS
