"""A plugin on one node of a little cluster, and a daemon's claim that it prepares."""

from tests.builders import Little
from tests.nodes import Plugin, reading
from tests.virtual_time import until

DOMAIN = "d0000000-0000-0000-0000-000000000001"


async def a_plugin(seen=None):
    little = await Little.started()
    await little.node("node-1")
    plugin = Plugin(little.client("plugin"), "node-1", seen=seen or reading())
    plugin.start()
    return little, plugin


async def prepared(plugin, uid="d", **more):
    plugin.wants(uid, DOMAIN, kind="daemon", domain_name="team/train", **more)
    await until(lambda: plugin.state(uid, "daemon") == "Holding.Prepared")


async def released(plugin, uid="d"):
    plugin.lets_go(uid, "daemon")
    await until(lambda: plugin.state(uid, "daemon") is None)
