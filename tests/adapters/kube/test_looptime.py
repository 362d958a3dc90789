"""What waits and counts by the clock does so by the running loop's: on virtual time an hour is an hour."""

import asyncio

from nvdra.adapters.kube.events import FOLD_SECONDS, EventAnnouncer
from nvdra.adapters.kube.reflector import LAGGING_SECONDS, Reflector
from nvdra.api import kinds
from nvdra.ports import Listing, Subject
from tests.builders import Little
from tests.virtual_time import clock, virtually, wall


@virtually
async def test_equal_events_are_folded_for_ten_minutes_of_the_loop():
    """Two within the time are one Event counted twice; a third after it is a new one."""
    little = await Little.started()
    announcer = EventAnnouncer(little.client("plugin"), "test", wall=wall)
    running = asyncio.create_task(announcer.run())
    about = Subject("v1", "Pod", "p", "default", "u")
    for pause in (1.0, FOLD_SECONDS + 1, 1.0):
        announcer.tell(about, "Reason", "text")
        await asyncio.sleep(pause)
    assert sorted(event["count"] for event in await little.events()) == [1, 2]
    running.cancel()


class Lagging:
    """An API server that was restored from a backup: after the first list all others are older."""

    def __init__(self) -> None:
        self.versions = [100]

    async def list(self, kind, namespace="", *, labels="", fields=""):
        return Listing((), str(self.versions.pop() if self.versions else 50))

    async def watch(self, kind, version, namespace="", *, labels="", fields=""):
        raise TimeoutError
        yield


class Sink:
    def put(self, sort, thing): ...

    def drop(self, sort, thing): ...

    def synced(self, sort): ...

    def all(self, sort):
        return ()


@virtually
async def test_a_list_from_the_past_is_believed_after_a_minute_of_the_loop():
    """So long it is a server that lags; then it is the truth, and a real minute is not waited for."""
    reflector = Reflector(Lagging(), kinds.PODS, Sink())
    reflector._adopt(await reflector._list())
    began = clock()
    while True:
        try:
            reflector._adopt(await reflector._list())
            break
        except Exception:  # noqa: BLE001 - whatever it says, it is asked again
            await asyncio.sleep(1.0)
    assert LAGGING_SECONDS <= clock() - began <= LAGGING_SECONDS + 1
