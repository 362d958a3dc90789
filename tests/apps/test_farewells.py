"""Who is told that his ComputeDomain was deleted, and who is not."""

import asyncio
from contextlib import asynccontextmanager

from attrs import define, field, frozen

from nvdra.api import kinds, names
from nvdra.api.meta import Meta
from nvdra.api.resources import ConsumerReference, ResourceClaim, ResourceClaimStatus
from nvdra.apps.farewells import GRACE, Farewells
from nvdra.errors import Again, ApiError
from nvdra.ports import Listing, Subject
from tests.nodes import Said
from tests.virtual_time import until, virtually

DOMAIN = Subject("resource.nvidia.com/v1beta1", "ComputeDomain", "cd", "team", "uid-cd")


@frozen
class Claims:
    """An API server that lists claims; `faults` are raised first."""

    there: dict[str, ResourceClaim] = field(factory=dict)
    faults: list[Exception] = field(factory=list)

    async def list(self, kind, namespace="", *, labels="", fields=""):
        assert (namespace, labels) == ("team", f"{names.DOMAIN_LABEL}=uid-cd")
        if self.faults:
            raise self.faults.pop(0)
        return Listing(tuple(self.there.values()), "1")

    def held(self, *pods: str, ending: bool = False) -> None:
        users = tuple(ConsumerReference("pods", pod, f"uid-{pod}") for pod in pods)
        meta = Meta(name="-".join(pods), deletionTimestamp="2026-01-01T00:00:00Z" if ending else None)
        self.there[meta.name] = ResourceClaim(metadata=meta, status=ResourceClaimStatus(reservedFor=users))


@define
class Scene:
    claims: Claims = field(factory=Claims)
    said: Said = field(factory=Said)

    @asynccontextmanager
    async def deleted(self):
        part = Farewells(self.claims, kinds.RESOURCE_CLAIMS, self.said)
        task = asyncio.create_task(part.run())
        for _ in range(3):  # every look says so
            part.deleted(DOMAIN)
        yield
        task.cancel()


@virtually
async def test_who_stays_is_named_within_ten_seconds():
    """On the domain and on each pod, once, however often the deletion was seen."""
    scene = Scene()
    scene.claims.held("b", "a")
    async with scene.deleted():
        await until(lambda: scene.said.notes, limit=10)
        await asyncio.sleep(60)
    assert [about for about, *_ in scene.said.notes] == ["cd", "a", "b"]
    assert all("a, b have lost their IMEX daemons" in text for _, _, text in scene.said.notes)


@virtually
async def test_who_ends_with_it_is_not():
    """A claim that is let go within the grace, or is being deleted itself, says that its pod was deleted too."""
    scene = Scene()
    scene.claims.held("a")
    scene.claims.held("c", ending=True)
    async with scene.deleted():
        await asyncio.sleep(GRACE - 1)
        del scene.claims.there["a"]
        await asyncio.sleep(60)
    assert scene.said.notes == []


@virtually
async def test_an_api_server_that_is_away_is_asked_again():
    """A few times; then it is given up with a line in the log, and the next domain is served."""
    scene = Scene(Claims(faults=[Again("away"), ApiError("busy", code=429, after=2.0)]))
    scene.claims.held("a")
    async with scene.deleted():
        await until(lambda: scene.said.notes, limit=15)
    assert len(scene.said.notes) == 2


@virtually
async def test_what_cannot_be_known_is_logged(caplog):
    """Nobody is accused when claims cannot be read."""
    scene = Scene(Claims(faults=[Again("away")] * 5))
    scene.claims.held("a")
    async with scene.deleted():
        await asyncio.sleep(60)
    assert scene.said.notes == []
    assert "whether ComputeDomain cd was deleted in use is not known: away" in caplog.text
