import json
import re
import tempfile
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.checkpoint import Records
from nvdra.api.records import ClaimRecord, PodRef, RecordedDevice
from nvdra.errors import Refused

RECORD = ClaimRecord(
    uid="u-1",
    namespace="team-a",
    name="claim",
    kind="channel",
    domain="d-1",
    domain_name="train",
    devices=(RecordedDevice("channel", "node-a", "channel-0"),),
    pods=(PodRef("worker-0", "p-1"),),
    boot_id="boot-1",
)
text = st.text(max_size=8)
json_values = st.recursive(st.none() | st.booleans() | st.integers() | text, lambda v: st.lists(v, max_size=2))
unknown = st.dictionaries(text.map(lambda name: f"later.{name}"), json_values, max_size=3)
records = st.builds(
    ClaimRecord,
    uid=st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z"),
    namespace=text,
    name=text,
    kind=st.sampled_from(["channel", "daemon"]),
    domain=text,
    domain_name=text,
    clique=text,
    mode=st.sampled_from(["Single", "All"]),
    devices=st.lists(st.builds(RecordedDevice, text, text, text, text), max_size=3).map(tuple),
    pods=st.lists(st.builds(PodRef, text, text), max_size=3).map(tuple),
    released=st.booleans(),
    leaving=st.booleans(),
    made=st.lists(st.integers(0, 2047), max_size=3).map(tuple),
    boot_id=st.sampled_from(["boot-1", "boot-2"]),
    version=st.integers(1, 9),
    extra=unknown,
    stale_boot=st.just(False),
)


@settings(deadline=None, max_examples=40)  # every example syncs files
@given(st.lists(records, unique_by=lambda record: record.uid, max_size=4))
def test_what_was_put_is_loaded(wanted: list[ClaimRecord]) -> None:
    """Every record comes back as it was put, flagged when it is of another boot."""
    with tempfile.TemporaryDirectory() as folder:
        store = Records(Path(folder), "boot-1")
        for record in wanted:
            store.put(record)
        loaded, quarantined = store.load_all()

    assert quarantined == ()
    assert {record.uid: record for record in loaded} == {
        record.uid: evolve(record, stale_boot=record.boot_id != "boot-1") for record in wanted
    }


def test_nothing_on_disk_is_no_records(tmp_path: Path) -> None:
    """A first start finds nothing and complains about nothing."""
    assert Records(tmp_path, "boot-1").load_all() == ((), ())


def test_put_replaces_and_remove_forgets(tmp_path: Path) -> None:
    """One record a claim; forgetting twice is a success."""
    store = Records(tmp_path, "boot-1")
    store.put(RECORD)
    store.put(evolve(RECORD, released=True))
    assert store.load_all() == ((evolve(RECORD, released=True),), ())
    store.remove("u-1")
    store.remove("u-1")
    assert store.load_all() == ((), ())


def test_a_record_without_boot_id_is_of_this_boot(tmp_path: Path) -> None:
    """Who does not say when gets the present."""
    store = Records(tmp_path, "boot-1")
    store.put(evolve(RECORD, boot_id=""))

    assert store.load_all() == ((RECORD,), ())


def test_fields_of_a_newer_version_survive_a_rewrite(tmp_path: Path) -> None:
    """An older nvdra that rewrites a newer one's record takes nothing from it."""
    store = Records(tmp_path, "boot-1")
    store.put(RECORD)
    path = store.folder / "u-1.json"
    newer = json.loads(path.read_bytes()) | {"version": 7, "mig": {"profile": "1g.5gb"}, "extra": 1}
    path.write_text(json.dumps(newer))
    ((record,), _) = store.load_all()
    store.put(evolve(record, released=True))

    assert json.loads(path.read_bytes()) == newer | {"released": True}


@pytest.mark.parametrize(
    ("content", "because"),
    [
        ("", "not JSON"),
        ('{"uid": "u-1", "name', "not JSON"),
        ("[]", "a JSON object is expected, not list"),
        ("{}", "required field missing @ record.uid; required field missing @ record.namespace"),
        ('{"uid": 1, "namespace": "n", "name": "c", "kind": "channel", "domain": null}', "record.uid; .*record.domain"),
        ('{"uid": "u-2", "namespace": "n", "name": "c", "kind": "channel", "domain": "d"}', "of claim uid 'u-2', not"),
        ('{"uid": "u-1", "namespace": "n", "name": "c", "kind": "k", "domain": "d", "version": 0}', "version 0"),
        ('{"uid": "u-1", "namespace": "n", "name": "c", "kind": "k", "domain": "d", "pods": "all"}', "record.pods"),
    ],
)
def test_a_corrupt_record_is_set_aside_and_told(tmp_path: Path, content: str, because: str) -> None:
    """The faulty file is kept under another name with its content, the other records are loaded, and the next load is quiet."""
    store = Records(tmp_path, "boot-1")
    store.put(evolve(RECORD, uid="good"))
    (store.folder / "u-1.json").write_text(content)
    loaded, (faulty,) = store.load_all()

    assert [record.uid for record in loaded] == ["good"]
    assert faulty.path == store.folder / "u-1.json.corrupt-1"
    assert faulty.path.read_text() == content
    assert re.search(because, faulty.because), faulty.because
    assert store.load_all() == (loaded, ())


def test_a_second_corrupt_file_does_not_hide_the_first(tmp_path: Path) -> None:
    """Quarantined files are numbered."""
    store = Records(tmp_path, "boot-1")
    store.folder.mkdir()
    for content in ("first", "second"):
        (store.folder / "u-1.json").write_text(content)
        store.load_all()

    assert {p.name: p.read_text() for p in store.folder.iterdir()} == {
        "u-1.json.corrupt-1": "first",
        "u-1.json.corrupt-2": "second",
    }


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "-a", ".", "a\n"])
def test_a_uid_never_leads_out_of_the_folder(tmp_path: Path, uid: str) -> None:
    """What is no uid is refused before it becomes a path."""
    store = Records(tmp_path, "boot-1")
    with pytest.raises(Refused, match="is no uid"):
        store.put(evolve(RECORD, uid=uid))
    with pytest.raises(Refused, match="is no uid"):
        store.remove(uid)
