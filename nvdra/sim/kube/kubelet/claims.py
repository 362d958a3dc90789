"""The kubelet's claims: what is prepared for whom, kept in dra_manager_state (dra-protocol.md §2.3 to §2.6)."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from nvdra.errors import NotFound
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.kubelet.plugins import CallError, Plugin
from nvdra.sim.kube.shapes import Json, dig, name, namespace, owned_by, pod_claims, uid

_KIND: Final = {"kind": "DRACheckpoint", "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1"}


class PrepareError(Exception):
    """The claims of a pod are not prepared; the text is what the Event says."""


class UnprepareError(Exception):
    """The claims of a pod are not let go of yet."""


@frozen
class Device:
    """What a plugin answered for one device."""

    pool: str
    device: str
    requests: tuple[str, ...]
    cdi_ids: tuple[str, ...]


@define(eq=False)
class Held:
    """A claim that pods of this node use. `prepared` is known to this kubelet process only."""

    uid: str
    name: str
    namespace: str
    pods: set[str] = field(factory=set)
    drivers: dict[str, list[Device]] = field(factory=dict)
    prepared: bool = False


class ClaimDesk:
    """Prepares and unprepares. `find` gives the plugin of a driver, None when it is not registered."""

    def __init__(self, cluster: Cluster, find: Callable[[str], Plugin | None], state_file: Path) -> None:
        self._cluster = cluster
        self._find = find
        self._state_file = state_file
        self._held: dict[str, Held] = load(state_file)

    async def prepare(self, pod: Json) -> None:
        """Have every claim of the pod prepared; PrepareError says why not."""
        found = [await self._checked(pod, entry, claim) for entry, claim in pod_claims(pod) if claim != ""]
        held = [self._hold(claim, uid(pod)) for claim in found]
        self._save()
        todo = [one for one in held if not one.prepared]
        for driver in sorted({driver for one in todo for driver in one.drivers}):
            await self._prepare_with(driver, [one for one in todo if driver in one.drivers])
        for one in todo:
            one.prepared = True
        self._save()

    async def unprepare(self, pod_uid: str) -> None:
        """Let go of every claim of the pod; those of no other pod are unprepared. UnprepareError: not all yet."""
        mine = [one for one in self._held.values() if pod_uid in one.pods]
        last = [one for one in mine if one.pods == {pod_uid}]
        for one in mine:
            if one not in last:
                one.pods.discard(pod_uid)
        self._save()
        for driver in sorted({driver for one in last for driver in one.drivers}):
            await self._unprepare_with(driver, [one for one in last if driver in one.drivers])
        for one in last:
            self._held.pop(one.uid, None)
        self._save()

    def holders(self) -> set[str]:
        """The uids of all pods that hold a claim here."""
        return {pod for one in self._held.values() for pod in one.pods}

    def cdi_ids(self, pod: Json, container: Json) -> tuple[str, ...]:
        """What the runtime is to inject into this container."""
        claims = {entry["name"]: claim for entry, claim in pod_claims(pod)}
        ids: list[str] = []
        for wanted in dig(container, "resources", "claims") or ():
            for one in self._held.values():
                if (one.namespace, one.name) == (namespace(pod), claims.get(wanted["name"])):
                    ids += _ids(one, wanted.get("request"))
        return tuple(dict.fromkeys(ids))

    async def _checked(self, pod: Json, entry: Json, claim_name: str | None) -> Json:
        if claim_name is None:
            raise PrepareError(f"pod claim {entry['name']}: the ResourceClaim has not been created yet")
        try:
            claim = await self._cluster.get(kinds.CLAIMS, claim_name, namespace(pod))
        except NotFound:
            text = (
                f'failed to fetch ResourceClaim {claim_name}: resourceclaims.resource.k8s.io "{claim_name}" not found'
            )
            raise PrepareError(text) from None
        if "resourceClaimTemplateName" in entry and not owned_by(claim, pod):
            raise PrepareError(f"ResourceClaim {claim_name} was not created for pod {namespace(pod)}/{name(pod)}")
        if not any(r["uid"] == uid(pod) for r in dig(claim, "status", "reservedFor") or ()):
            raise PrepareError(f"pod {name(pod)} ({uid(pod)}) is not allowed to use ResourceClaim {claim_name}")
        if not dig(claim, "status", "allocation"):
            raise PrepareError(f"ResourceClaim {claim_name} is not allocated")
        for driver in _drivers(claim):
            if self._find(driver) is None:
                raise PrepareError(f"prepare dynamic resources: DRA driver {driver} is not registered")
        self._not_replaced(claim)
        return claim

    def _not_replaced(self, claim: Json) -> None:
        for one in self._held.values():
            if (one.namespace, one.name) == (namespace(claim), name(claim)) and one.uid != uid(claim):
                raise PrepareError(
                    f"old ResourceClaim with same name {one.name} and different UID {one.uid} still exists"
                )

    def _hold(self, claim: Json, pod_uid: str) -> Held:
        one = self._held.setdefault(uid(claim), Held(uid(claim), name(claim), namespace(claim)))
        one.pods.add(pod_uid)
        for driver in _drivers(claim):
            one.drivers.setdefault(driver, [])
        return one

    async def _prepare_with(self, driver: str, claims: Sequence[Held]) -> None:
        answer = await self._call(driver, "NodePrepareResources", claims, PrepareError)
        for one in claims:
            if one.uid not in answer.claims:
                raise PrepareError(_text(f"NodePrepareResources skipped ResourceClaim {one.name}"))
            said = answer.claims[one.uid]
            if said.error:
                raise PrepareError(_text(f"NodePrepareResources failed for ResourceClaim {one.name}: {said.error}"))
            one.drivers[driver] = [_device(device) for device in said.devices]
        strangers = set(answer.claims) - {one.uid for one in claims}
        if strangers:
            raise PrepareError(_text(f"NodePrepareResources returned unknown claim UID(s) {', '.join(strangers)}"))

    async def _unprepare_with(self, driver: str, claims: Sequence[Held]) -> None:
        answer = await self._call(driver, "NodeUnprepareResources", claims, UnprepareError)
        for one in claims:
            if one.uid not in answer.claims:
                raise UnprepareError(f"NodeUnprepareResources skipped ResourceClaim {one.name}")
            error = answer.claims[one.uid].error
            if error:
                raise UnprepareError(f"NodeUnprepareResources failed for ResourceClaim {one.name}: {error}")

    async def _call(self, driver: str, method: str, claims: Sequence[Held], fails: type[Exception]) -> Any:
        plugin = self._find(driver)
        if plugin is None:
            raise fails(f"DRA driver {driver} is not registered")
        try:
            return await plugin.call(method, claims)
        except CallError as error:
            raise fails(
                _text(f"{method} failed: {error}") if fails is PrepareError else f"{method} failed: {error}"
            ) from error

    def _save(self) -> None:
        entries = [
            {
                "ClaimUID": one.uid,
                "ClaimName": one.name,
                "Namespace": one.namespace,
                "PodUIDs": {pod: {} for pod in sorted(one.pods)},
                "DriverState": {driver: {"Devices": [_plain(d) for d in ds]} for driver, ds in one.drivers.items()},
            }
            for one in self._held.values()
        ]
        data = json.dumps({**_KIND, "Entries": entries})
        text = json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())})
        aside = self._state_file.with_suffix(".tmp")
        aside.write_text(text)
        aside.rename(self._state_file)


def load(path: Path) -> dict[str, Held]:
    """What an earlier kubelet on this node knew; nothing of it counts as prepared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {}
    data = json.loads(json.loads(path.read_text())["Data"])
    found = {}
    for entry in data["Entries"]:
        drivers = {
            driver: [Device(d["Pool"], d["Device"], tuple(d["Requests"]), tuple(d["CDI"])) for d in state["Devices"]]
            for driver, state in entry["DriverState"].items()
        }
        held = Held(entry["ClaimUID"], entry["ClaimName"], entry["Namespace"], set(entry["PodUIDs"]), drivers)
        found[held.uid] = held
    return found


def _device(said: Any) -> Device:
    return Device(said.pool_name, said.device_name, tuple(said.request_names), tuple(said.cdi_device_ids))


def _plain(device: Device) -> Json:
    requests, ids = list(device.requests), list(device.cdi_ids)
    return {"Pool": device.pool, "Device": device.device, "Requests": requests, "CDI": ids}


def _ids(one: Held, request: str | None) -> list[str]:
    return [
        cdi_id
        for devices in one.drivers.values()
        for device in devices
        if request is None or not device.requests or request in device.requests
        for cdi_id in device.cdi_ids
    ]


def _drivers(claim: Json) -> list[str]:
    results = dig(claim, "status", "allocation", "devices", "results") or ()
    return sorted({result["driver"] for result in results})


def _text(what: str) -> str:
    return f"prepare dynamic resources: {what}"
