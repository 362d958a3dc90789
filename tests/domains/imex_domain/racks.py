"""A domain and nodes of one clique in a little cluster, and what its users were told."""


async def a_rack(little, nodes, domain_nodes=0):
    domain = await little.domain(nodes=domain_nodes)
    for number in range(nodes):
        await little.node(f"node-{number}")
    return domain


async def told(little, reason):
    return [event["message"] for event in await little.events() if event["reason"] == reason]
