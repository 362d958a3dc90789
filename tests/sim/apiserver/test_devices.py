"""resource.k8s.io: three versions of one object, and the rules of claims and slices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.sim.apiserver import conversion

CLAIMS = "resource.k8s.io/resourceclaims"
SLICES = "resource.k8s.io/resourceslices"
EXACTLY = {"deviceClassName": "x", "allocationMode": "ExactCount", "count": 1}
POOL = {"name": "n", "generation": 1, "resourceSliceCount": 1}


def a_slice(*names, **spec):
    return {"driver": "d.io", "nodeName": "n", "pool": POOL, "devices": [{"name": name} for name in names], **spec}


def claim_spec(*names):
    return {"devices": {"requests": [{"name": name, "exactly": {"deviceClassName": "x"}} for name in names]}}


def test_a_claim_in_all_versions(world):
    """Made in v1beta1, read in each: flat there, under `exactly` elsewhere, with defaults."""
    flat = {"devices": {"requests": [{"name": "r", "deviceClassName": "x"}]}}
    ref = world.ref("resource.k8s.io@v1beta1/resourceclaims", "c")
    entry = world.store.create(ref, {"metadata": {"name": "c"}, "spec": flat})
    assert entry.object["spec"] == {"devices": {"requests": [{"name": "r", "exactly": EXACTLY}]}}
    assert entry.spoken("v1beta2") == {**entry.object, "apiVersion": "resource.k8s.io/v1beta2"}
    assert entry.spoken("v1beta1")["spec"] == {"devices": {"requests": [{"name": "r", **EXACTLY}]}}


def test_a_slice_in_all_versions(world):
    """v1beta1 has a level more: basic."""
    attributes = {"type": {"string": "channel"}}
    old = {**a_slice(), "devices": [{"name": "a", "basic": {"attributes": attributes}}]}
    ref = world.ref("resource.k8s.io@v1beta1/resourceslices", "s")
    entry = world.store.create(ref, {"metadata": {"name": "s"}, "spec": old})
    assert entry.object["spec"]["devices"] == [{"name": "a", "attributes": attributes}]
    assert entry.spoken("v1beta1")["spec"] == old
    patch = {"spec": {"devices": [{"name": "b", "basic": {}}]}}
    assert world.store.patch(ref, "merge", patch).object["spec"]["devices"] == [{"name": "b"}]


EXACT = st.fixed_dictionaries(
    {"deviceClassName": st.just("x")}, optional={"count": st.integers(1, 3), "adminAccess": st.booleans()}
)
REQUEST = st.one_of(
    st.builds(lambda name, exactly: {"name": name, "exactly": exactly}, st.sampled_from("ab"), EXACT),
    st.builds(
        lambda name, subs: {"name": name, "firstAvailable": subs}, st.sampled_from("ab"), st.lists(EXACT, min_size=1)
    ),
)


@given(st.lists(REQUEST), st.booleans())
def test_claims_survive_the_way_there_and_back(requests, template):
    """v1 → v1beta1 → v1 is the identity, for templates too."""
    spec = {"devices": {"requests": requests}}
    kind = "ResourceClaimTemplate" if template else "ResourceClaim"
    new = {"apiVersion": "resource.k8s.io/v1", "kind": kind, "spec": {"spec": spec} if template else spec}
    assert conversion.stored(conversion.spoken(new, "v1beta1"), "resource.k8s.io/v1") == new


def test_offered_versions_can_be_limited(world_with, refused):
    """An old cluster has only the beta versions."""
    world = world_with(resource_api=("v1beta1",))
    assert world.store.ref("resource.k8s.io", "v1beta1", "resourceclaims")
    with refused(404):
        world.store.ref("resource.k8s.io", "v1", "resourceclaims")


def test_events_have_two_spellings(world):
    """One object under core/v1 and events.k8s.io/v1."""
    body = {"metadata": {"name": "e"}, "involvedObject": {"name": "p"}, "message": "hello", "reason": "R"}
    world.store.create(world.ref("events"), body)
    ref = world.store.ref("events.k8s.io", "v1", "events", "default", "e")
    spoken = world.store.get(ref).spoken(ref.version)
    assert (spoken["apiVersion"], spoken["regarding"], spoken["note"]) == ("events.k8s.io/v1", {"name": "p"}, "hello")
    note = {"apiVersion": "events.k8s.io/v1", "metadata": {"name": "f"}, "regarding": {"name": "q"}, "note": "hi"}
    assert world.store.create(ref.at(""), note).object["message"] == "hi"


def test_a_claim_is_allocated_once(world, refused):
    """Spec never changes; the allocation is set and taken away whole; consumers need one."""
    world.create(CLAIMS, "c", spec=claim_spec("r"))
    consumer = {"resource": "pods", "name": "p", "uid": "1"}
    result = {"request": "r", "driver": "d.io", "pool": "n", "device": "a"}
    with refused(422):
        world.patch(CLAIMS, "c", {"spec": {"devices": {"requests": []}}})
    with refused(422):
        world.patch(f"{CLAIMS}:status", "c", {"status": {"reservedFor": [consumer]}})
    allocated = {"status": {"allocation": {"devices": {"results": [result]}}, "reservedFor": [consumer]}}
    world.patch(f"{CLAIMS}:status", "c", allocated)
    with refused(422):
        world.patch(f"{CLAIMS}:status", "c", {"status": {"allocation": {"devices": {"results": []}}}})
    with refused(422):
        world.patch(f"{CLAIMS}:status", "c", {"status": {"reservedFor": [consumer, consumer]}})
    with refused(422):
        world.patch(f"{CLAIMS}:status", "c", {"status": {"devices": [{**result, "device": "other"}]}})
    world.patch(f"{CLAIMS}:status", "c", {"status": {"devices": [result]}})
    world.patch(f"{CLAIMS}:status", "c", {"status": {"allocation": None, "reservedFor": None}})
    assert world.get(CLAIMS, "c")["status"] == {}


def test_a_deleting_claim_takes_no_new_consumers(world, refused):
    """Those that it has may stay or go."""
    world.create(
        CLAIMS, "c", spec=claim_spec("r"), metadata={"finalizers": ["resource.kubernetes.io/delete-protection"]}
    )
    world.patch(f"{CLAIMS}:status", "c", {"status": {"allocation": {"devices": {}}, "reservedFor": [{"uid": "1"}]}})
    world.store.delete(world.ref(CLAIMS, "c"))
    with refused(422):
        world.patch(f"{CLAIMS}:status", "c", {"status": {"reservedFor": [{"uid": "1"}, {"uid": "2"}]}})
    world.patch(f"{CLAIMS}:status", "c", {"status": {"reservedFor": []}})


OPAQUE = {"opaque": {"driver": "d.io", "parameters": {"kind": "K"}}}


@pytest.mark.parametrize(
    ("path", "spec", "good"),
    [
        (CLAIMS, claim_spec("r"), True),
        (CLAIMS, claim_spec("r", "r"), False),
        (CLAIMS, claim_spec("R"), False),
        (CLAIMS, {"devices": {"requests": [{"name": "r"}]}}, False),
        (CLAIMS, {"devices": {"requests": [{"name": "r", "exactly": {**EXACTLY, "allocationMode": "All"}}]}}, False),
        (CLAIMS, {"devices": {"requests": [], "config": [OPAQUE]}}, True),
        (CLAIMS, {"devices": {"requests": [], "config": [{**OPAQUE, "requests": ["x"]}]}}, False),
        (CLAIMS, {"devices": {"config": [{"opaque": {"driver": "d.io", "parameters": {"a": "b" * 10240}}}]}}, False),
        (SLICES, a_slice("a", "b"), True),
        (SLICES, a_slice("a", "a"), False),
        (SLICES, a_slice("a_b"), False),
        (SLICES, a_slice(*(f"a{n}" for n in range(129))), False),
        (SLICES, a_slice(allNodes=True), False),
        (SLICES, a_slice(driver=""), False),
        (SLICES, a_slice(pool={"name": "n", "resourceSliceCount": 0}), False),
        (SLICES, a_slice(devices=[{"name": "a", "attributes": {"x y": {"string": "z"}}}]), False),
        (SLICES, a_slice(devices=[{"name": "a", "attributes": {"x": {"string": "z", "int": 1}}}]), False),
        (SLICES, a_slice(devices=[{"name": "a", "attributes": {"x": {"string": "z" * 65}}}]), False),
        ("resource.k8s.io/deviceclasses", {"config": [OPAQUE]}, True),
        ("resource.k8s.io/deviceclasses", {"config": [{}]}, False),
        ("resource.k8s.io/resourceclaimtemplates", {"spec": claim_spec("r", "r")}, False),
    ],
)  # fmt: skip
def test_limits(world, refused, path, spec, good):
    """The rules that a driver runs into."""
    if good:
        assert world.create(path, "o", spec=spec)
        return
    with refused(422, "Invalid"):
        world.create(path, "o", spec=spec)


def test_a_slice_keeps_its_place(world, refused):
    """Driver, node and pool name are for ever; devices may change and count as a generation."""
    world.create(SLICES, "s", spec=a_slice("a"))
    with refused(422):
        world.patch(SLICES, "s", {"spec": {"nodeName": "m"}})
    assert world.patch(SLICES, "s", {"spec": {"devices": [{"name": "b"}]}})["metadata"]["generation"] == 2
