"""What a daemon says of itself while it waits, and when it is believed."""

import asyncio

import attrs
from msgspec.structs import replace

from tests.domains.imex_daemon.imex_world import ADDRESS, WHO, World, a_roster
from tests.domains.imex_daemon.stories import ROSTERS, made_ready, says
from tests.virtual_time import clock, until, virtually


@virtually
async def test_what_is_waited_for_is_said():
    """Each way of waiting has its own sentence in the status file."""
    world = World(stuck=True)
    world.api.breaks(broken=True)
    world.begin()
    await says(world, "cannot be read: the API server is away")
    world.api.breaks(broken=False)
    await says(world, "has not made the list of this domain's nodes (uid-1.c.1) yet")
    world.api.put(ROSTERS["without-us"]())
    await says(world, "has not listed node-0 in uid-1.c.1 yet")
    world.api.put(ROSTERS["old-address"]())
    await says(world, "lists node-0 at 10.0.0.99 and has not seen this pod's 10.0.0.1 yet")
    world.api.put(a_roster("", "", "", "", "", ADDRESS, own=5))
    await says(world, "has index 5, but IMEX's list has 4 lines")
    world.files.full = True
    world.api.put(ROSTERS["alone"]())
    await until(lambda: "no space left" in world.daemon.status.reason)
    world.files.full = False
    await says(world, "waits for former importers")
    world.hanging = True
    await says(world, "did not answer in time")
    world.hanging = world.stuck = False
    await until(lambda: world.status["ready"])
    await world.end()


@virtually
async def test_only_what_passes_by_itself_is_said_to_be_awaited():
    """To be listed at all, or at this address, while the domain forms; not a list that is missing or will not do."""
    world = World(stuck=True)
    world.begin()
    await says(world, "has not made the list")
    assert not world.status["awaited"]
    for name, words in (("without-us", "has not listed node-0"), ("old-address", "lists node-0 at 10.0.0.99")):
        for formed in (False, True):
            world.api.put(replace(ROSTERS[name](), formed=formed))
            await says(world, words)
            await until(lambda formed=formed: world.status["awaited"] is not formed)
    world.api.put(a_roster("", "", "", "", "", ADDRESS, own=5))
    await says(world, "has index 5, but IMEX's list has 4 lines")
    assert not world.status["awaited"]
    await world.end()


@virtually
async def test_a_ready_instance_is_believed_while_its_tool_hangs_shortly():
    """One answer that does not come in time is no unreadiness; silence for long is."""
    world = await made_ready(World())
    world.hanging = True
    await asyncio.sleep(12)
    assert world.status["ready"]
    await until(lambda: not world.status["ready"], limit=20)
    assert len(world.instances) == 1
    await world.end()


@virtually
async def test_without_a_fabric_it_is_ready_and_starts_nothing():
    """No clique, no IMEX: ready at once, with the reason, and gone at once."""
    world = World()
    world.begin(attrs.evolve(WHO, clique=""))
    await until(lambda: world.status.get("ready"))
    assert (world.status["state"], world.status["reason"]) == (
        "Idle",
        "this node has no NVLink fabric, so no IMEX daemon is needed",
    )
    assert await world.end() == 0
    assert world.instances == []


@virtually
async def test_a_roster_that_goes_away_changes_nothing():
    """Deleted or unreachable: the instance stays as it is, ready."""
    world = await made_ready(World())
    resolved = dict(world.alive.resolved)
    world.api.put(None)
    await asyncio.sleep(30)
    world.api.breaks(broken=True)
    await asyncio.sleep(300)
    assert world.status["ready"]
    assert (len(world.instances), world.alive.resolved) == (1, resolved)
    await world.end()


@virtually
async def test_a_line_that_imex_prints_is_a_moment_to_ask_it():
    """Between two questions, 5 s apart, it prints something: it is asked at once, and what it answers counts, not the line."""
    world = World()
    world.api.put(a_roster(ADDRESS))
    world.begin()
    await until(lambda: world.status.get("ready"), 5)
    await asyncio.sleep(12)
    world.stuck, begun = True, clock()
    assert world.alive is not None
    world.alive.says("[INFO] anything at all")
    await until(lambda: not world.status["ready"], 5)
    assert clock() - begun < 0.1
    await world.die()
