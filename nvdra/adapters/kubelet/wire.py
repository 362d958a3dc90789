"""Messages and services of the kubelet's gRPC protocols, made from a descriptor set at run time.

No generated code: that would tie us to one major version of protobuf, and to a global pool in which the many files
called api.proto clash. `protos/*.proto` are the source; a test makes `descriptors.binpb` again and compares.
Servers ask for `handlers`, clients (tests, probes, the rack's kubelet) for `method`.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

REGISTRATION: Final = "pluginregistration.Registration"
DRA_V1: Final = "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"
DRA_V1BETA1: Final = "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin"
DEVICE_HEALTH_V1ALPHA1: Final = "v1alpha1.DRAResourceHealth"
DEVICE_HEALTH_V1: Final = "v1.DRAResourceHealth"
HEALTH: Final = "grpc.health.v1.Health"

PROTOS: Final = Path(__file__).with_name("protos")
DESCRIPTORS: Final = PROTOS / "descriptors.binpb"

Message = Any
"""A protobuf message of ours: its class is made at run time, so a type checker knows nothing of its fields."""
Behaviour = Callable[[Message, "aio.ServicerContext[Message, Message]"], Awaitable[Message]]
"""What one method does: request and call in, response out."""


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    return pool


_POOL: Final = _pool()


def message(name: str) -> Callable[..., Message]:
    """The class of a message by its full name, such as `pluginregistration.PluginInfo`."""
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


def request(service: str, method_name: str, /, **fields: Any) -> Message:
    """A request of that method."""
    return GetMessageClass(_method(service, method_name).input_type)(**fields)


def response(service: str, method_name: str, /, **fields: Any) -> Message:
    """A response of that method."""
    return GetMessageClass(_method(service, method_name).output_type)(**fields)


def handlers(service: str, behaviours: Mapping[str, Behaviour]) -> grpc.GenericRpcHandler:
    """What a server needs to serve these unary methods of a service. Those left out answer UNIMPLEMENTED."""
    table = {}
    for name, behaviour in behaviours.items():
        found = _method(service, name)
        table[name] = grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=GetMessageClass(found.input_type).FromString,
            response_serializer=GetMessageClass(found.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(service, table)


def method(channel: aio.Channel, service: str, name: str) -> Callable[..., Awaitable[Message]]:
    """The client's side of a unary method; await what it returns with a request and `timeout=` seconds."""
    found = _method(service, name)
    call: Callable[..., Awaitable[Message]] = channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=GetMessageClass(found.input_type).SerializeToString,
        response_deserializer=GetMessageClass(found.output_type).FromString,
    )
    return call


def _method(service: str, name: str) -> MethodDescriptor:
    found: ServiceDescriptor = _POOL.FindServiceByName(service)
    return found.methods_by_name[name]
