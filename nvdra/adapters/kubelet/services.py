"""From messages to the Plugin and back: the rules of a response that the kubelet accepts.

A response holds exactly the uids that were asked for; what goes wrong for a claim is told in that claim's entry, and
never by failing the call, which would hide the reasons of all.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import grpc
from attrs import define, field, frozen
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Plugin, Prepared, PreparedDevice, RegistrationStatus
from nvdra.errors import NvdraError

log = logging.getLogger(__name__)

PLUGIN_TYPE: Final = "DRAPlugin"
SUPPORTED_VERSIONS: Final = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
"""Most preferred first: kubelets from 1.34 on take the first they know, older ones their own favourite."""

Call = aio.ServicerContext[wire.Message, wire.Message]
Answer = TypeVar("Answer", Prepared | Failure, Failure | None)


@frozen
class DraService:
    """DRAPlugin in one of its versions (`wire.DRA_V1`, `wire.DRA_V1BETA1`)."""

    service: str
    plugin: Plugin

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        return wire.handlers(
            self.service, {"NodePrepareResources": self._prepare, "NodeUnprepareResources": self._unprepare}
        )

    async def _prepare(self, request: wire.Message, call: Call) -> wire.Message:
        answers = await _answers(_claims(request), self.plugin.prepare)
        response = wire.response(self.service, "NodePrepareResources")
        for uid, answer in answers.items():
            entry = response.claims[uid]  # reading makes the entry
            if isinstance(answer, Failure):
                entry.error = answer.text
                continue
            for device in answer.devices:
                _fill(entry.devices.add(), device, shared=self.service == wire.DRA_V1)
        return response

    async def _unprepare(self, request: wire.Message, call: Call) -> wire.Message:
        answers = await _answers(_claims(request), self.plugin.unprepare)
        response = wire.response(self.service, "NodeUnprepareResources")
        for uid, answer in answers.items():
            response.claims[uid].error = answer.text if answer else ""
        return response


def _claims(request: wire.Message) -> tuple[ClaimRef, ...]:
    """Each claim once, as it was named first."""
    refs: dict[str, ClaimRef] = {}
    for claim in request.claims:
        refs.setdefault(claim.uid, ClaimRef(namespace=claim.namespace, name=claim.name, uid=claim.uid))
    return tuple(refs.values())


async def _answers(
    claims: Sequence[ClaimRef], ask: Callable[[Sequence[ClaimRef]], Awaitable[Mapping[str, Answer]]]
) -> Mapping[str, Answer | Failure]:
    """One answer for each claim, whatever the plugin does."""
    if not claims:
        return {}
    try:
        given = await ask(claims)
    except Exception as error:  # noqa: BLE001  # the edge: a fault of ours must reach the pod's Events as text
        text = _text_of(error)
        return {claim.uid: Failure(text) for claim in claims}
    answers: dict[str, Answer | Failure] = {}
    for claim in claims:
        answers[claim.uid] = _checked(given[claim.uid]) if claim.uid in given else _unanswered(claim)
    return answers


def _checked(answer: Answer) -> Answer | Failure:
    """An empty error text would read as success."""
    if isinstance(answer, Failure) and not answer.text:
        return Failure("failed, and no reason was given: this is a fault in nvdra")
    return answer


def _unanswered(claim: ClaimRef) -> Failure:
    return Failure(f"claim {claim} was not answered: this is a fault in nvdra; the kubelet tries again")


def _text_of(error: Exception) -> str:
    if isinstance(error, NvdraError):
        return str(error) or type(error).__name__
    log.error("a call of the kubelet failed", exc_info=error)
    return f"internal error: {type(error).__name__}: {error}"


def _fill(entry: wire.Message, device: PreparedDevice, *, shared: bool) -> None:
    # The kubelet compares with containers[].resources.claims[].request, which knows no subrequests.
    entry.request_names.extend(dict.fromkeys(request.partition("/")[0] for request in device.requests))
    entry.pool_name = device.pool
    entry.device_name = device.device
    entry.cdi_device_ids.extend(device.cdi_ids)
    if shared and device.share_id:
        entry.share_id = device.share_id


@define
class Registration:
    """Who we are, and what the kubelet last said about it."""

    driver: str
    endpoint: str
    status: RegistrationStatus | None = None
    told: asyncio.Event = field(factory=asyncio.Event)

    def handlers(self) -> grpc.GenericRpcHandler:
        """pluginregistration.Registration."""
        return wire.handlers(
            wire.REGISTRATION, {"GetInfo": self._get_info, "NotifyRegistrationStatus": self._notify_status}
        )

    async def _get_info(self, request: wire.Message, call: Call) -> wire.Message:
        return wire.response(
            wire.REGISTRATION,
            "GetInfo",
            type=PLUGIN_TYPE,
            name=self.driver,
            endpoint=self.endpoint,
            supported_versions=SUPPORTED_VERSIONS,
        )

    async def _notify_status(self, request: wire.Message, call: Call) -> wire.Message:
        # Success always and at once: kubelets up to 1.35 do not try a failed notification again.
        status = RegistrationStatus(registered=request.plugin_registered, error=request.error)
        if status != self.status:
            level = logging.INFO if status.registered else logging.ERROR
            log.log(level, "kubelet: registration of %s: %s", self.driver, status.error or "done")
        self.status = status
        self.told.set()
        return wire.response(wire.REGISTRATION, "NotifyRegistrationStatus")
