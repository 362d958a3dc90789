"""Selectors: what they mean, and that indexes never change an answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.sim.apiserver import selectors
from nvdra.sim.apiserver.resources import BUILT_IN, Ref
from nvdra.sim.apiserver.store import ObjectStore

CONFIGMAPS = next(r for r in BUILT_IN if r.plural == "configmaps")
PODS = next(r for r in BUILT_IN if r.plural == "pods")
SLICES = next(r for r in BUILT_IN if r.plural == "resourceslices")
EVENTS = next(r for r in BUILT_IN if r.plural == "events")


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a in (1,2),b", {"a": "2"}, False),
        ("a notin (1,2)", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=", {"a": ""}, True),
        ("a>3", {"a": "4"}, True),
        ("a<3", {"a": "4"}, False),
        ("a<3", {}, False),
        ("example.com/a.b-c_d=x,!z", {"example.com/a.b-c_d": "x"}, True),
    ],
)
def test_labels(text, labels, fits):
    """Every operator of a label selector."""
    assert selectors.parse(CONFIGMAPS, labels=text).matches({"metadata": {"labels": labels}}) is fits


@pytest.mark.parametrize(
    ("resource", "text", "obj", "fits"),
    [
        (PODS, "status.phase!=Running", {"status": {"phase": "Pending"}}, True),
        (PODS, "spec.nodeName=", {"spec": {}}, True),
        (
            PODS,
            "metadata.namespace=a,spec.nodeName=b",
            {"metadata": {"namespace": "a"}, "spec": {"nodeName": "b"}},
            True,
        ),
        (SLICES, "spec.driver=d", {"spec": {"driver": "d"}}, True),
        (EVENTS, "involvedObject.uid=1,type!=Normal", {"involvedObject": {"uid": "1"}, "type": "Normal"}, False),
        (EVENTS, "source=kubelet", {"source": {"component": "kubelet"}}, True),
    ],
)
def test_fields(resource, text, obj, fits):
    """Selectable fields of the kinds that have some."""
    assert selectors.parse(resource, fields=text).matches({"metadata": {}, **obj}) is fits


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), max_size=3)
CLAUSE = st.one_of(
    st.builds("{}={}".format, st.sampled_from("abc"), st.sampled_from("123")),
    st.builds("{}!={}".format, st.sampled_from("abc"), st.sampled_from("123")),
    st.builds("{} in ({})".format, st.sampled_from("abc"), st.lists(st.sampled_from("123"), min_size=1).map(",".join)),
    st.sampled_from(["a", "!a", "!b"]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("mnopqr"), LABELS), max_size=12),
    st.lists(CLAUSE, min_size=1, max_size=3).map(",".join),
)
def test_an_index_never_changes_an_answer(writes, text):
    """After any writes, the indexed list is what filtering everything gives."""
    store = ObjectStore()
    ref = Ref(CONFIGMAPS, "default")
    for name, labels in writes:
        if ref.at(name).key in store.collection(ref).entries:
            if labels:
                store.update(ref.at(name), {"metadata": {"name": name, "labels": labels}})
            else:
                store.delete(ref.at(name))
        else:
            store.create(ref, {"metadata": {"name": name, "labels": labels}})
    selector = selectors.parse(CONFIGMAPS, labels=text)
    everything = store.list(ref).entries
    assert store.list(ref, selector).entries == [e for e in everything if selector.matches(e.object)]
