"""Claim configs that any user may write: a config, or an error that says where and what."""

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.kube.decoding import decode_object
from nvdra.api import names
from nvdra.api.device_config import decode, request_of
from nvdra.api.kinds import RESOURCE_CLAIMS
from nvdra.api.resources import ResourceClaim
from nvdra.errors import Again, ConfigError

API = f"{names.GROUP}/{names.VERSION}"
UID = "038a15fb-a5df-4146-8adb-c5d89d3b80cb"
GOOD = {"apiVersion": API, "kind": "ComputeDomainChannelConfig", "domainID": UID, "allocationMode": "Single"}
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)), max_leaves=6)  # fmt: skip
KEYS = st.sampled_from([*GOOD, "extra", "DomainID", ""])
PARAMETERS = st.dictionaries(KEYS, st.one_of(TREES, st.sampled_from(list(GOOD.values())))).map(lambda d: {**GOOD, **d})


@given(PARAMETERS)
@settings(max_examples=300)
def test_any_parameters(parameters: dict[str, Any]) -> None:
    """Strict: what is not exactly right is refused, with the place named."""
    try:
        config = decode(parameters, "claim team/one")
    except ConfigError as error:
        assert str(error).startswith("claim team/one")
        assert len(str(error)) < 4000
    else:
        assert parameters["domainID"] == config.domainID
        assert set(parameters) <= set(GOOD)


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("where", ["domainID", "allocationMode", "extra"])
def test_parameters_nested_without_end(where: str) -> None:
    """As deep as a JSON decoder lets through."""
    with pytest.raises(ConfigError):
        decode({**GOOD, where: nested(sys.getrecursionlimit() * 3)}, "claim team/one")


def claim(change: dict[str, Any]) -> dict[str, Any]:
    result = {"request": "channel", "driver": names.CD_DRIVER, "pool": "node-1", "device": "channel-0"}
    config = {"source": "FromClaim", "requests": ["channel"], "opaque": {"driver": names.CD_DRIVER, "parameters": GOOD}}
    devices: dict[str, Any] = {"results": [result], "config": [config]}
    return {
        "metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "status": {"allocation": {"devices": {**devices, **change}}},
    }


RESULTS = st.fixed_dictionaries(
    {
        "request": st.text(max_size=8),
        "driver": st.sampled_from([names.CD_DRIVER, "other"]),
        "pool": st.text(max_size=8),
        "device": st.one_of(
            st.sampled_from(["channel-0", "daemon-0", "channel--1", "channel-x", "-"]), st.text(max_size=9)
        ),
    }
)
CONFIGS = st.fixed_dictionaries(
    {"source": st.sampled_from(["FromClaim", "FromClass", "", "Else"])},
    optional={
        "requests": st.one_of(st.none(), st.lists(st.text(max_size=8), max_size=2)),
        "opaque": st.one_of(
            st.none(), st.fixed_dictionaries({"driver": st.just(names.CD_DRIVER), "parameters": PARAMETERS})
        ),
    },
)


@given(st.lists(RESULTS, max_size=3), st.one_of(st.none(), st.lists(CONFIGS, max_size=3)))
@settings(max_examples=300)
def test_any_allocation(results: list[dict[str, Any]], configs: list[dict[str, Any]] | None) -> None:
    """From the bytes of the API to the request, or an error that names the claim."""
    body = json.dumps(claim({"results": results, "config": configs})).encode()
    with contextlib.suppress(Again):
        found: ResourceClaim = decode_object(RESOURCE_CLAIMS, body, "GET")
        try:
            request = request_of(found)
        except ConfigError as error:
            assert "n/c" in str(error)
        else:
            assert request.domain.lower() == UID
