from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from nvdra.adapters.kubelet import wire


def test_descriptors_are_those_of_the_protos(tmp_path: Path) -> None:
    """The shipped descriptor set is what protoc makes of the shipped .proto files."""
    made = tmp_path / "made.binpb"
    protos = [str(path) for path in sorted(wire.PROTOS.glob("*.proto"))]

    assert protoc.main(["protoc", f"-I{wire.PROTOS}", f"--descriptor_set_out={made}", *protos]) == 0
    assert FileDescriptorSet.FromString(made.read_bytes()) == FileDescriptorSet.FromString(
        wire.DESCRIPTORS.read_bytes()
    ), f"make it again: python -m grpc_tools.protoc -I{wire.PROTOS} --descriptor_set_out={wire.DESCRIPTORS} …"


def test_bytes_on_the_wire_are_those_of_the_contract() -> None:
    """Field numbers and types are the kubelet's: known bytes decode to known values."""
    request = wire.request(wire.DRA_V1, "NodePrepareResources").FromString(b"\x0a\x0d\x0a\x02ns\x12\x03u-1\x1a\x02cl")

    assert [(c.namespace, c.uid, c.name) for c in request.claims] == [("ns", "u-1", "cl")]

    response = wire.response(wire.DRA_V1, "NodePrepareResources")
    device = response.claims["u"].devices.add(
        request_names=["r"], pool_name="p", device_name="d", cdi_device_ids=["c"], share_id="s"
    )
    assert device.SerializeToString() == b"\x0a\x01r\x12\x01p\x1a\x01d\x22\x01c\x2a\x01s"


@pytest.mark.parametrize(("service", "known"), [(wire.DRA_V1, True), (wire.DRA_V1BETA1, False)])
def test_share_id_is_in_v1_alone(service: str, known: bool) -> None:
    """v1beta1's Device has no share_id."""
    device = wire.message(f"{service.rpartition('.')[0]}.Device")()

    assert ("share_id" in device.DESCRIPTOR.fields_by_name) is known


@pytest.mark.parametrize("service", [wire.DEVICE_HEALTH_V1ALPHA1, wire.DEVICE_HEALTH_V1])
def test_device_health_is_described(service: str) -> None:
    """Both versions of the health service are there for whoever serves them."""
    device = {"device": {"pool_name": "p", "device_name": "d"}, "health": 1, "message": "fine"}
    answer = wire.response(service, "NodeWatchResources", devices=[device])

    assert answer.devices[0].device.device_name == "d"
