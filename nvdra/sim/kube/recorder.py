"""Kubernetes Events of the rack's agents, folded as `kubectl describe` shows them ("x3 over 2m")."""

import logging

from attrs import define, field

from nvdra.errors import NvdraError
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.shapes import WALL, Json, name, namespace, now, uid

_log = logging.getLogger(__name__)
_MOST = 5000
_Fold = tuple[str, str, str, str]


@define
class Recorder:
    """Writes Events in the name of one component. Never raises: an Event that cannot be written is logged."""

    cluster: Cluster
    component: str
    host: str = ""
    _seen: dict[_Fold, tuple[str, int]] = field(factory=dict, init=False)

    async def tell(
        self, about: Json, kind: str, reason: str, message: str, *, warning: bool = False, part: str = ""
    ) -> None:
        """Write an Event about an object, or count one up. `part` is a field path such as spec.containers{ctr}."""
        fold = (uid(about), part, reason, message)
        try:
            if fold in self._seen:
                await self._count_up(fold, namespace(about) or "default")
                return
            made = await self.cluster.create(
                kinds.EVENTS,
                self._event(about, kind, part) | _content(reason, message, warning=warning),
                namespace(about) or "default",
            )
            self._seen[fold] = (name(made), 1)
            if len(self._seen) > _MOST:
                self._seen.pop(next(iter(self._seen)))
        except NvdraError as error:
            _log.debug("event %s about %s was not written: %s", reason, name(about), error)
            self._seen.pop(fold, None)

    async def _count_up(self, fold: _Fold, where: str) -> None:
        event, count = self._seen[fold]
        self._seen[fold] = (event, count + 1)
        await self.cluster.patch(kinds.EVENTS, event, {"count": count + 1, "lastTimestamp": now()}, where)

    def _event(self, about: Json, kind: str, part: str) -> Json:
        where = namespace(about) or "default"
        involved = {"kind": kind, "name": name(about), "uid": uid(about), "namespace": namespace(about)}
        involved["apiVersion"] = about.get("apiVersion") or "v1"
        if part:
            involved["fieldPath"] = part
        source = {"component": self.component, **({"host": self.host} if self.host else {})}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name(about)}.{int(WALL.get()() * 1e9):016x}", "namespace": where},
            "involvedObject": {k: v for k, v in involved.items() if v},
            "source": source,
            "reportingComponent": self.component,
            "reportingInstance": self.host,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }


def _content(reason: str, message: str, *, warning: bool) -> Json:
    return {"reason": reason, "message": message[:1024], "type": "Warning" if warning else "Normal"}
