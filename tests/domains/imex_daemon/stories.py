"""Lists that a daemon may be told, and how it is brought to a certain point."""

from tests.domains.imex_daemon.imex_world import ADDRESS, World, a_roster
from tests.virtual_time import until

ROSTERS = {
    "alone": lambda: a_roster(ADDRESS),
    "two": lambda: a_roster(ADDRESS, "10.0.0.2"),
    "moved": lambda: a_roster(ADDRESS, "10.0.0.7"),
    "crowd": lambda: a_roster(ADDRESS, "10.0.0.2", "10.0.0.3", "10.0.0.4"),
    "reindexed": lambda: a_roster("10.0.0.9", ADDRESS, own=1),
    "old-address": lambda: a_roster("10.0.0.99", "10.0.0.2"),
    "without-us": lambda: a_roster("", "10.0.0.2", own=0),
    "none": lambda: None,
}


async def made_ready(world: World) -> World:
    world.api.put(ROSTERS["alone"]())
    world.begin()
    await until(lambda: world.status.get("ready"))
    return world


async def says(world: World, words: str) -> None:
    await until(lambda: words in world.status.get("reason", ""), limit=40)
    assert not world.status["ready"]
