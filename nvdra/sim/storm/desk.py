"""The kubelet's claims on virtual time: prepared for whom, and checkpointed on disk (dra-protocol.md §2.3 to 2.6)."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Prepared
from nvdra.api import names
from nvdra.errors import NotFound
from nvdra.sim.kube import kinds
from nvdra.sim.kube.shapes import Json, dig, name, namespace, owned_by, pod_claims, uid
from nvdra.sim.storm.disk import Disk
from nvdra.sim.storm.door import CallFailed, StormDoor
from nvdra.sim.storm.wire import Wire

STATE: Final = "/var/lib/kubelet/dra_manager_state"


class Unready(Exception):
    """The claims of a pod are not prepared, or not let go of, yet."""


@define(eq=False)
class Held:
    """A claim that pods of this node use. `prepared` is known to this kubelet process only."""

    ref: ClaimRef
    pods: list[str] = field(factory=list)
    ids: list[str] = field(factory=list)
    prepared: bool = False


@define(eq=False)
class Desk:
    """Prepares and unprepares."""

    wire: Wire
    disk: Disk
    door: Callable[[], StormDoor | None]
    held: dict[str, Held] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """What an earlier kubelet knew; nothing of it counts as prepared."""
        self.held = {}
        for claim, where, called, pods, ids in json.loads(self.disk.files.get(STATE, b"[]")):
            self.held[claim] = Held(ClaimRef(where, called, claim), pods, ids)

    async def prepare(self, pod: Json) -> Sequence[str]:
        """Have every claim of the pod prepared; what CDI is to inject. Unready says why not."""
        found = [await self._checked(pod, entry, called) for entry, called in pod_claims(pod) if called != ""]
        mine = [self._hold(claim, uid(pod)) for claim in found]
        self._save()
        todo = [one for one in mine if not one.prepared]
        if todo:
            answers = await self._call("prepare", todo)
            for one in todo:
                said = answers.get(one.ref.uid)
                if not isinstance(said, Prepared):
                    raise Unready(said.text if isinstance(said, Failure) else "the plugin skipped a claim")
                one.ids = list(dict.fromkeys(id_ for device in said.devices for id_ in device.cdi_ids))
                one.prepared = True
            self._save()
        return [id_ for one in mine for id_ in one.ids]

    async def unprepare(self, pod_uid: str) -> None:
        """Let go of every claim of the pod; those of no other pod are unprepared. Unready: not all yet."""
        mine = [one for one in self.held.values() if pod_uid in one.pods]
        last = [one for one in mine if one.pods == [pod_uid]]
        for one in mine:
            if one not in last:
                one.pods.remove(pod_uid)
        if last:
            answers = await self._call("unprepare", last)
            for one in last:
                said = answers.get(one.ref.uid)
                if isinstance(said, Failure):
                    raise Unready(said.text)
            for one in last:
                self.held.pop(one.ref.uid, None)
        self._save()

    def holders(self) -> list[str]:
        """The pods that hold a claim here."""
        return sorted({pod for one in self.held.values() for pod in one.pods})

    def claims_of(self, pod_uid: str) -> tuple[str, ...]:
        """The uids of a pod's claims."""
        return tuple(claim for claim, one in self.held.items() if pod_uid in one.pods)

    async def _checked(self, pod: Json, entry: Json, called: str | None) -> Json:
        if called is None:
            raise Unready(f"pod claim {entry['name']}: the ResourceClaim has not been created yet")
        try:
            claim = await self.wire.get(kinds.CLAIMS, called, namespace(pod))
        except NotFound:
            raise Unready(f"failed to fetch ResourceClaim {called}: not found") from None
        if "resourceClaimTemplateName" in entry and not owned_by(claim, pod):
            raise Unready(f"ResourceClaim {called} was not created for this pod")
        if not any(r["uid"] == uid(pod) for r in dig(claim, "status", "reservedFor") or ()):
            raise Unready(f"this pod is not allowed to use ResourceClaim {called}")
        if not dig(claim, "status", "allocation"):
            raise Unready(f"ResourceClaim {called} is not allocated")
        for one in self.held.values():
            if (one.ref.namespace, one.ref.name) == (namespace(claim), name(claim)) and one.ref.uid != uid(claim):
                raise Unready(f"old ResourceClaim with same name {called} and different UID still exists")
        return claim

    def _hold(self, claim: Json, pod_uid: str) -> Held:
        ref = ClaimRef(namespace(claim), name(claim), uid(claim))
        one = self.held.setdefault(uid(claim), Held(ref))
        if pod_uid not in one.pods:
            one.pods.append(pod_uid)
        return one

    async def _call(self, method: str, claims: Sequence[Held]) -> dict[str, Prepared | Failure | None]:
        door = self.door()
        if door is None or door.registered is None:
            raise Unready(f"DRA driver {names.CD_DRIVER} is not registered")
        try:
            return await door.call(method, [one.ref for one in claims])
        except CallFailed as error:
            raise Unready(str(error)) from error

    def _save(self) -> None:
        plain = [[c, one.ref.namespace, one.ref.name, one.pods, one.ids] for c, one in self.held.items()]
        self.disk.files[STATE] = json.dumps(plain).encode()
