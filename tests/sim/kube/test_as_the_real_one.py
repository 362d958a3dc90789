"""What the real controllers, scheduler and kubelet were seen to write, where the rack's once differed."""

from nvdra.sim.kube import kinds


async def test_a_workers_claim_and_pod_have_the_fields_of_the_real_ones(rack):
    """An allocation with its moment, an owner that does not block, and the list of the host's addresses."""
    await rack.start({"node-a": "c.1"})
    await rack.with_plugins()
    await rack.template()
    await rack.pod("w", claim="channel")
    pod = await rack.running("w")
    assert pod["status"]["hostIPs"] == [{"ip": pod["status"]["hostIP"]}]
    (claim,) = (await rack.cluster.list(kinds.CLAIMS, "default")).items
    assert "blockOwnerDeletion" not in claim["metadata"]["ownerReferences"][0]
    allocation = claim["status"]["allocation"]
    assert allocation["allocationTimestamp"]


async def test_a_daemons_pod_names_its_node_and_nothing_else(rack):
    """The DaemonSet controller puts the node's name in the place of the template's own node affinity."""
    await rack.start({"node-a": "c.1"})
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    container = {"name": "d", "image": "i:1", "command": ["sh", "-c", "sleep 99"]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"affinity": affinity, "containers": [container]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await rack.create(kinds.DAEMON_SETS, {"metadata": {"name": "ds"}, "spec": spec})

    async def pods():
        return (await rack.cluster.list(kinds.PODS, "default", labels="a=b")).items

    (pod,) = await rack.until(pods)
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [set(term) for term in required["nodeSelectorTerms"]] == [{"matchFields"}]
