import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from attrs import define, field
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Prepared, PreparedDevice, RegistrationStatus
from nvdra.adapters.kubelet.server import PluginServer
from nvdra.adapters.kubelet.sockets import SocketPaths, address_of
from nvdra.errors import ConfigError, Refused

DRIVER = "compute-domain.nvidia.com"
VERSIONS = pytest.mark.parametrize("service", [wire.DRA_V1, wire.DRA_V1BETA1])


@define
class Scripted:
    """A plugin that answers what the test says, and remembers whom it was asked about."""

    prepared: Callable[[ClaimRef], Prepared | Failure | None] = lambda claim: Prepared()
    released: Callable[[ClaimRef], Failure | None] = lambda claim: None
    asked: list[ClaimRef] = field(factory=list)

    async def prepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Prepared | Failure]:
        self.asked += claims
        answers = {claim.uid: self.prepared(claim) for claim in claims}
        return {uid: answer for uid, answer in answers.items() if answer} | {"of-nobody": Prepared()}

    async def unprepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Failure | None]:
        self.asked += claims
        return {claim.uid: self.released(claim) for claim in claims}


def paths_in(folder: Path, **more: Any) -> SocketPaths:
    return SocketPaths(driver=DRIVER, plugins=folder / "p", registry=folder / "r", **more)


@asynccontextmanager
async def serving(folder: Path, plugin: Scripted, **more: Any) -> AsyncIterator[PluginServer]:
    server = PluginServer(plugin=plugin, paths=paths_in(folder), **more)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace=0)


async def call(where: Path | str, service: str, method: str, /, **fields: Any) -> Any:
    address = address_of(where) if isinstance(where, Path) else where
    async with aio.insecure_channel(address) as channel:
        return await wire.method(channel, service, method)(wire.request(service, method, **fields), timeout=5)


def sockets_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


def claim(uid: str, name: str = "c", namespace: str = "ns") -> dict[str, str]:
    return {"uid": uid, "name": name, "namespace": namespace}


@VERSIONS
async def test_prepared_devices_reach_the_kubelet(short_folder: Path, service: str) -> None:
    """A prepared device arrives whole; requests lose their subrequest, and share_id is sent in v1 alone."""
    device = PreparedDevice(("gpu/big", "gpu/small", "ch"), "node-a", "channel-0", ("v/c=u-channel-0",), "share")
    plugin = Scripted(prepared=lambda claim: Prepared((device,)))
    async with serving(short_folder, plugin) as server:
        answer = await call(server.paths.dra, service, "NodePrepareResources", claims=[claim("u")])

    (got,) = answer.claims["u"].devices
    assert plugin.asked == [ClaimRef(namespace="ns", name="c", uid="u")]
    assert not answer.claims["u"].error
    assert (list(got.request_names), got.pool_name, got.device_name) == (["gpu", "ch"], "node-a", "channel-0")
    assert list(got.cdi_device_ids) == ["v/c=u-channel-0"]
    if service == wire.DRA_V1:
        assert got.share_id == "share"


async def test_no_share_id_is_left_unset(short_folder: Path) -> None:
    """A device that is not shared carries no share_id at all."""
    plugin = Scripted(prepared=lambda claim: Prepared((PreparedDevice(("r",), "p", "d"),)))
    async with serving(short_folder, plugin) as server:
        answer = await call(server.paths.dra, wire.DRA_V1, "NodePrepareResources", claims=[claim("u")])

    assert not answer.claims["u"].devices[0].HasField("share_id")


@VERSIONS
async def test_response_holds_exactly_the_requested_uids(short_folder: Path, service: str) -> None:
    """Failures, missing answers, repeated uids and answers about nobody end in one entry for each uid asked for."""
    given = {"ok": Prepared(), "bad": Failure("waiting for 1 of 2 nodes"), "mute": None, "blank": Failure("")}
    plugin = Scripted(prepared=lambda claim: given[claim.uid])
    async with serving(short_folder, plugin) as server:
        asked = [claim(uid) for uid in ("ok", "bad", "mute", "blank", "ok")]
        answer = await call(server.paths.dra, service, "NodePrepareResources", claims=asked)

    assert set(answer.claims) == set(given)
    assert [ref.uid for ref in plugin.asked] == list(given)
    assert not answer.claims["ok"].error
    assert answer.claims["bad"].error == "waiting for 1 of 2 nodes"
    assert "claim ns/c (uid mute) was not answered" in answer.claims["mute"].error
    assert "no reason" in answer.claims["blank"].error


@VERSIONS
async def test_unprepare_answers_every_claim(short_folder: Path, service: str) -> None:
    """Success is an empty entry, failure one with text."""
    plugin = Scripted(released=lambda claim: Failure("busy") if claim.uid == "b" else None)
    async with serving(short_folder, plugin) as server:
        answer = await call(server.paths.dra, service, "NodeUnprepareResources", claims=[claim("a"), claim("b")])

    assert {uid: entry.error for uid, entry in answer.claims.items()} == {"a": "", "b": "busy"}


@pytest.mark.parametrize("method", ["NodePrepareResources", "NodeUnprepareResources"])
@pytest.mark.parametrize(
    ("fault", "text"), [(Refused("no fabric"), "no fabric"), (KeyError("x"), "internal error: KeyError: 'x'")]
)
async def test_an_exception_becomes_a_failure_of_each_claim(
    short_folder: Path, method: str, fault: Exception, text: str
) -> None:
    """Whatever is raised in the plugin is told for every claim, and the call itself succeeds."""

    def fail(claim: ClaimRef) -> Any:
        raise fault

    async with serving(short_folder, Scripted(prepared=fail, released=fail)) as server:
        answer = await call(server.paths.dra, wire.DRA_V1, method, claims=[claim("a"), claim("b")])

    assert {uid: entry.error for uid, entry in answer.claims.items()} == {"a": text, "b": text}


@VERSIONS
@pytest.mark.parametrize("method", ["NodePrepareResources", "NodeUnprepareResources"])
async def test_an_empty_request_succeeds(short_folder: Path, service: str, method: str) -> None:
    """Probes send requests without claims; the plugin is not asked."""
    plugin = Scripted()
    async with serving(short_folder, plugin) as server:
        answer = await call(server.paths.dra, service, method)

    assert dict(answer.claims) == {}
    assert plugin.asked == []


async def test_registration_tells_who_we_are_and_remembers_the_verdict(short_folder: Path) -> None:
    """GetInfo names driver, endpoint and versions with v1 first; the last notification is kept, good or bad."""
    async with serving(short_folder, Scripted()) as server:
        where = server.paths.registration
        info = await call(where, wire.REGISTRATION, "GetInfo")
        before = server.registered
        await call(where, wire.REGISTRATION, "NotifyRegistrationStatus", error="no such driver")
        refused = server.registered
        await call(where, wire.REGISTRATION, "NotifyRegistrationStatus", plugin_registered=True)
        registered = server.registered

    assert (info.type, info.name, info.endpoint) == ("DRAPlugin", DRIVER, str(short_folder / "p" / DRIVER / "dra.sock"))
    assert list(info.supported_versions) == ["v1.DRAPlugin", "v1beta1.DRAPlugin"]
    assert (before, refused) == (None, RegistrationStatus(registered=False, error="no such driver"))
    assert registered == RegistrationStatus(registered=True)


async def test_services_we_do_not_have_are_unimplemented(short_folder: Path) -> None:
    """The kubelet's look for device health is answered, harmlessly."""
    async with serving(short_folder, Scripted()) as server:
        with pytest.raises(aio.AioRpcError) as caught:
            await call(server.paths.dra, wire.DEVICE_HEALTH_V1ALPHA1, "NodeWatchResources")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_sockets_are_gone_after_stop_and_can_be_served_again(short_folder: Path) -> None:
    """Both files go with the server; the next start finds the way free."""
    for _ in range(2):
        async with serving(short_folder, Scripted()) as server:
            assert server.paths.dra.is_socket()
            assert server.paths.registration.is_socket()
        assert sockets_below(short_folder) == []


async def test_a_call_in_flight_does_not_hold_up_the_stop(short_folder: Path) -> None:
    """A call that waits is cut off after the grace, and the kubelet is told so."""
    entered = asyncio.Event()

    class Waiting(Scripted):
        async def prepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Prepared | Failure]:
            entered.set()
            await asyncio.Event().wait()
            return {}

    async with serving(short_folder, Waiting()) as server:
        pending = asyncio.create_task(call(server.paths.dra, wire.DRA_V1, "NodePrepareResources", claims=[claim("u")]))
        await asyncio.wait_for(entered.wait(), 5)
        await server.stop(grace=0.05)
        with pytest.raises(aio.AioRpcError):
            await pending


async def check(server: PluginServer, service: str = "") -> int:
    answer = await call(f"127.0.0.1:{server.health_port}", wire.HEALTH, "Check", service=service)
    return int(answer.status)


async def test_health_follows_the_sockets(short_folder: Path) -> None:
    """Serving while both sockets answer, not serving when one is gone; unknown services are not found."""
    async with serving(short_folder, Scripted(), health_address="127.0.0.1:0") as server:
        assert (await check(server), await check(server, "liveness")) == (1, 1)
        with pytest.raises(aio.AioRpcError) as caught:
            await check(server, "readiness")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        server.paths.registration.unlink()
        assert await check(server) == 2


async def test_a_second_instance_is_refused_and_harms_nothing(short_folder: Path) -> None:
    """Two plugins on one node: the second says who is there, and the first goes on serving."""
    async with serving(short_folder, Scripted()) as first:
        with pytest.raises(
            ConfigError,
            match=rf"another instance of {DRIVER} is serving on {first.paths.registration}.*; end the other$",
        ):
            await PluginServer(plugin=Scripted(), paths=first.paths).start()
        info = await call(first.paths.registration, wire.REGISTRATION, "GetInfo")

    assert info.name == DRIVER


async def test_failed_start_leaves_nothing(short_folder: Path) -> None:
    """A start that fails half-way takes back what it opened."""
    server = PluginServer(plugin=Scripted(), paths=paths_in(short_folder), health_address="256.0.0.1:1")
    with pytest.raises(ConfigError, match="health service cannot listen on 256"):
        await server.start()

    assert sockets_below(short_folder) == []
