"""What a claim asks of us: read strictly, with every fault named where it is."""

import pytest

from nvdra.api.device_config import request_of
from nvdra.api.meta import Meta
from nvdra.api.records import RecordedDevice
from nvdra.api.resources import (
    Allocation,
    AllocationConfig,
    AllocationResult,
    DeviceAllocation,
    OpaqueConfig,
    ResourceClaim,
    ResourceClaimStatus,
)
from nvdra.errors import ConfigError

UID = "11111111-2222-3333-4444-555555555555"
DRIVER = "compute-domain.nvidia.com"
CHANNEL = {
    "apiVersion": "resource.nvidia.com/v1beta1",
    "kind": "ComputeDomainChannelConfig",
    "domainID": UID,
    "allocationMode": "All",
}
DAEMON = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "ComputeDomainDaemonConfig", "domainID": UID}


def a_config(parameters, source="FromClaim", requests=("channel",), driver=DRIVER):
    return AllocationConfig(source, tuple(requests), OpaqueConfig(driver, parameters))


def a_result(device="channel-0", request="channel", driver=DRIVER):
    return AllocationResult(request, driver, "node-1", device, shareID="s")


def a_claim(*configs, results=None, allocated=True):
    allocation = Allocation(DeviceAllocation(tuple(results or [a_result()]), tuple(configs))) if allocated else None
    return ResourceClaim(Meta(name="claim", namespace="team"), ResourceClaimStatus(allocation))


def refusal(*configs, **more):
    with pytest.raises(ConfigError) as caught:
        request_of(a_claim(*configs, **more))
    text = str(caught.value)
    assert text.startswith("ResourceClaim team/claim")
    return text


def test_a_channel():
    """Kind, domain, mode and devices."""
    request = request_of(a_claim(a_config(CHANNEL)))
    assert (request.kind, request.domain, request.mode) == ("channel", UID, "All")
    assert request.devices == (RecordedDevice("channel", "node-1", "channel-0", "s"),)


def test_a_daemon():
    """Has no mode; one channel is what a channel config means without one."""
    found = request_of(a_claim(a_config(DAEMON, requests=()), results=[a_result("daemon-0", "daemon")]))
    assert (found.kind, found.mode) == ("daemon", "Single")
    plain = {name: value for name, value in CHANNEL.items() if name != "allocationMode"}
    assert request_of(a_claim(a_config(plain))).mode == "Single"


def test_the_claim_outranks_the_class_and_the_last_the_first():
    """As Kubernetes says; configs of other drivers, and for other requests, are not ours to read."""
    one, two = ({**CHANNEL, "domainID": UID.replace("1", number)} for number in "67")
    configs = [
        a_config(one),
        a_config(two),
        a_config(CHANNEL, "FromClass"),
        a_config({"any": "thing"}, driver="gpu.nvidia.com"),
        a_config(CHANNEL, requests=("another",)),
    ]
    assert request_of(a_claim(*configs)).domain == two["domainID"]


def test_a_subrequest_goes_by_its_main_name_too():
    """`main/sub` is meant by a config for `main`."""
    assert request_of(a_claim(a_config(CHANNEL), results=[a_result(request="channel/fast")])).domain == UID


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "GpuConfig"}, "resource.nvidia.com/v1beta1, kind GpuConfig is not known here; known:"),
        ({"kind": 7}, "kind 7 is not known here"),
        (
            {"apiVersion": "resource.nvidia.com/v2"},
            "resource.nvidia.com/v2, kind ComputeDomainChannelConfig is not known",
        ),
        ({"domainId": "x"}, "domainId"),
        ({"domainID": "my-domain"}, "domainID 'my-domain' is not the uid of a ComputeDomain"),
        ({"domainID": 7}, "expected str @ ComputeDomainChannelConfig.domainID"),
        ({"allocationMode": "Some"}, "allocationMode 'Some' is neither Single nor All"),
        ({"allocationMode": None}, "expected str @ ComputeDomainChannelConfig.allocationMode"),
    ],
)
def test_a_fault_is_named_where_it_is(change, said):
    """With the place in the claim's status."""
    text = refusal(a_config({**CHANNEL, **change}))
    assert "status.allocation.devices.config[0].opaque.parameters" in text
    assert said in text


def test_a_missing_field_is_named():
    """A config without a domain is for nobody."""
    text = refusal(a_config({name: value for name, value in CHANNEL.items() if name != "domainID"}))
    assert "domainID" in text


@pytest.mark.parametrize(
    ("configs", "more", "said"),
    [
        ([], {"allocated": False}, "has no allocation"),
        ([], {"results": [a_result(driver="gpu.nvidia.com")]}, f"has no device of driver {DRIVER}"),
        ([], {"results": [a_result("gpu-0")]}, "device 'gpu-0' is none of ours"),
        ([], {"results": [a_result("channel-x")]}, "device 'channel-x' is none of ours"),
        ([], {"results": [a_result(), a_result("daemon-0", "d")]}, "asks for 2 devices (channel, daemon)"),
        ([], {}, "no config says which ComputeDomain device channel-0 is for"),
        ([a_config(CHANNEL, requests=("another",))], {}, "no config says which ComputeDomain"),
        # what the scheduler of 1.37 makes of a config that names all of the claim's requests
        ([a_config(DAEMON, requests=())], {}, "a ComputeDomainDaemonConfig cannot be applied to device channel-0"),
        ([a_config(DAEMON)], {}, "a ComputeDomainDaemonConfig cannot be applied to device channel-0"),
        ([a_config(CHANNEL, source="FromMars")], {}, "source 'FromMars' is not known here"),
        ([AllocationConfig("FromClaim", ("channel",))], {}, "only opaque parameters are known here"),
    ],
)
def test_what_is_not_ours_is_refused_by_name(configs, more, said):
    """Each in a sentence of its own."""
    assert said in refusal(*configs, **more)
