"""Pods of this node that hold a claim of ours, told what only the plugin knows and no claim's life can say."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from attrs import define, field

from nvdra.api import kinds, names
from nvdra.api.kind import Kind
from nvdra.api.objects import Pod
from nvdra.api.resources import ResourceClaim
from nvdra.errors import NotFound, NvdraError
from nvdra.ports import Announcer, Cluster, Subject

log = logging.getLogger(__name__)
PATIENCE = 3.0
"""A kubelet registers a plugin within a second; one that has not by now may never do it."""
LOOK_EVERY = 3.0
SELDOM = 30.0


@define(eq=False)
class Bystanders:
    """The pods of one node, as far as they hold claims of ours."""

    cluster: Cluster
    claims: Kind[ResourceClaim]
    node_name: str
    announcer: Announcer
    _told: set[tuple[str, str]] = field(factory=set, init=False)

    async def tell_unregistered(self, registered: Callable[[], bool], refusal: Callable[[], str], socket: Path) -> None:
        """Until the kubelet knows us: its own Event names the driver, but neither a reason nor a way out."""
        pause = LOOK_EVERY
        await asyncio.sleep(PATIENCE)
        while not registered():
            text = _unregistered(self.node_name, refusal(), socket)
            fresh = await self.tell_waiting("PluginNotRegistered", text)
            pause = LOOK_EVERY if fresh else min(pause * 1.5, SELDOM)
            await asyncio.sleep(pause)

    async def tell_waiting(self, reason: str, text: str) -> bool:
        """Pods that wait for a claim of ours, each once for a reason. True: there was one that did not know."""
        waiting = [pod async for pod, _ in self.holders("Pending")]
        fresh = [pod for pod in waiting if (pod.metadata.uid, reason) not in self._told]
        for pod in fresh:
            self.announcer.tell(_subject(pod), reason, text, warning=True)
        self._told.update((pod.metadata.uid, reason) for pod in fresh)
        return bool(fresh)

    async def tell_quarantined(self, texts: Mapping[str, str]) -> None:
        """Claims (by uid) whose record could not be read: the pods that hold them are told, once."""
        if not texts:
            return
        async for pod, claim in self.holders():
            text = texts.get(claim.metadata.uid)
            if text is not None:
                self.announcer.tell(_subject(pod), "ClaimRecordQuarantined", text, warning=True)

    async def holders(self, phase: str = "") -> AsyncIterator[tuple[Pod, ResourceClaim]]:
        """Pods here with a claim that has a device of ours; none while the API server is away: this only tells."""
        wanted = f"spec.nodeName={self.node_name}" + (f",status.phase={phase}" if phase else "")
        try:
            for pod in (await self.cluster.list(kinds.PODS, fields=wanted)).items:
                for name in pod.claim_names if not pod.metadata.deleting else ():
                    claim = await self._claim(name, pod.metadata.namespace)
                    if claim is not None and _ours(claim):
                        yield pod, claim
        except NvdraError as error:
            log.info("pods that hold our claims could not be told: %s", error)

    async def _claim(self, name: str, namespace: str) -> ResourceClaim | None:
        try:
            return await self.cluster.get(self.claims, name, namespace)
        except NotFound:
            return None


def _ours(claim: ResourceClaim) -> bool:
    allocation = claim.status.allocation
    return allocation is not None and any(r.driver == names.CD_DRIVER for r in allocation.devices.results)


def _subject(pod: Pod) -> Subject:
    return Subject("v1", "Pod", pod.metadata.name, pod.metadata.namespace, pod.metadata.uid)


def _unregistered(node: str, refusal: str, socket: Path) -> str:
    if refusal:
        return f"the kubelet of {node} has not registered the driver's plugin, and says: {refusal}"
    return (
        f"the kubelet of {node} has not registered the driver's plugin, whose socket is {socket}: is the chart's"
        " kubeletRegistrarDirectoryPath the folder plugins_registry of that kubelet?"
    )
