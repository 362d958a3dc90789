"""Patches as laws: merge, JSON, strategic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.sim.apiserver import patches, strategic
from nvdra.sim.apiserver.status import PatchTestFailedError, StatusError

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "x", "a/b", "~"]))
KEYS = st.sampled_from(["a", "b", "c/d", "~e"])
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_leaves_its_arguments(target, patch):
    """Twice is once, and nothing that was passed in is changed."""
    before, said = patches.clone(target), patches.clone(patch)
    once = patches.merged(target, patch)
    assert patches.merged(once, patch) == once
    assert (target, patch) == (before, said)


@given(OBJECTS, OBJECTS)
def test_the_patch_between_two_objects_leads_from_one_to_the_other(old, new):
    """For objects without nulls in them, which Kubernetes objects are."""
    old, new = without_nulls(old), without_nulls(new)
    assert patches.same(patches.merged(old, patches.merge_patch_between(old, new)), new)


def pointer(*parts):
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


@given(OBJECTS, KEYS, VALUES)
def test_json_add_test_and_remove(target, key, value):
    """What was added is there, is found by test, and is gone after remove."""
    added = patches.json_patched(target, [{"op": "add", "path": pointer(key), "value": value}])
    assert patches.same(added[key], value)
    path = {"path": pointer(key)}
    gone = patches.json_patched(added, [{"op": "test", "value": value, **path}, {"op": "remove", **path}])
    assert gone == {name: item for name, item in target.items() if name != key}


@given(OBJECTS, VALUES, VALUES)
def test_json_test_tells_values_apart(target, value, other):
    """A test holds for the same JSON and no other: true is not 1."""
    document = {**target, "k": value}
    operation = [{"op": "test", "path": "/k", "value": other}]
    if patches.same(value, other):
        assert patches.json_patched(document, operation) == document
        return
    with pytest.raises(PatchTestFailedError):
        patches.json_patched(document, operation)


@pytest.mark.parametrize(
    ("target", "operation", "result"),
    [
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/c"}, {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": 1}, {"op": "test", "path": "/missing", "value": None}, {"a": 1}),
        ({}, {"op": "remove", "path": "/a"}, None),
        ({}, {"op": "replace", "path": "/a", "value": 1}, None),
        ({}, {"op": "add", "path": "/a/b", "value": 1}, None),
        ({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}, None),
        ({"a": [1]}, {"op": "remove", "path": "/a/01"}, None),
        ({}, {"op": "test", "path": "/a", "value": 1}, None),
        ({}, {"op": "test", "path": "a", "value": 1}, None),
    ],
)
def test_json_operations(target, operation, result):
    """RFC 6902 and Kubernetes' manners; what cannot be done is a 422."""
    if result is not None:
        assert patches.json_patched(target, [operation]) == result
        return
    with pytest.raises(StatusError) as refused:
        patches.json_patched(target, [operation])
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"env": [{"name": "a", "value": "1"}]}, {"env": [{"name": "a", "value": "2"}, {"name": "b"}]}, {"env": [{"name": "a", "value": "2"}, {"name": "b"}]}),
        ({"env": [{"name": "a"}, {"name": "b"}]}, {"env": [{"$patch": "delete", "name": "a"}]}, {"env": [{"name": "b"}]}),
        ({"env": [{"name": "a"}]}, {"env": [{"$patch": "replace"}, {"name": "z"}]}, {"env": [{"name": "z"}]}),
        ({"env": [{"name": "a"}, {"name": "b"}]}, {"$setElementOrder/env": [{"name": "b"}, {"name": "a"}]}, {"env": [{"name": "b"}, {"name": "a"}]}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"finalizers": ["a"]}, {"finalizers": ["b"]}, {"finalizers": ["a", "b"]}),
        ({"args": ["a"]}, {"args": ["b"]}, {"args": ["b"]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        ({"conditions": [{"type": "A", "status": "x"}]}, {"conditions": [{"type": "A", "reason": "y"}]}, {"conditions": [{"type": "A", "status": "x", "reason": "y"}]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$retainKeys": ["c"], "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
    ],
)  # fmt: skip
def test_strategic_merge(base, patch, result):
    """Lists of named things are merged by name; directives do what they say."""
    before = patches.clone(base)
    assert strategic.patched(base, patch) == result
    assert base == before
