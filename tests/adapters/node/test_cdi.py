import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.cdi import CLAIM_KIND, CdiFolder, qualified
from nvdra.errors import Refused
from nvdra.node import CdiSpec, DeviceNode, Edits, Mount

UID = "0c6ad9b8-3c1e-4f0a-9a57-5b1f4c0e8a11"
CHANNEL = DeviceNode("/dev/nvidia-caps-imex-channels/channel0", 508, 0)
SPEC = CdiSpec(kind=CLAIM_KIND, devices={f"{UID}-channel-0": Edits(device_nodes=(CHANNEL,))})

path = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).map(lambda text: f"/{text}")
edits = st.builds(
    Edits,
    env=st.lists(st.from_regex(r"\A[A-Z_]{1,5}=.{0,9}\Z"), max_size=2).map(tuple),
    device_nodes=st.lists(
        st.builds(DeviceNode, path, st.integers(0, 4095), st.integers(0, 2**20 - 1), st.integers(0, 0o777)), max_size=2
    ).map(tuple),
    mounts=st.lists(
        st.builds(Mount, path, path, st.lists(st.sampled_from(["ro", "rw", "bind"]), max_size=3).map(tuple)), max_size=2
    ).map(tuple),
)
device = st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9_.:-]{0,9}[A-Za-z0-9])?\Z")
specs = st.builds(
    CdiSpec,
    kind=st.sampled_from([CLAIM_KIND, "v/c", "example.com/a.b"]),
    devices=st.dictionaries(device, edits.filter(lambda e: e != Edits()), min_size=1, max_size=3),
    edits=edits,
)


@settings(deadline=None, max_examples=60)  # every example syncs files
@given(specs)
def test_what_was_written_is_read(spec: CdiSpec) -> None:
    """read(write(x)) is x, its claim has a file, and afterwards none."""
    with tempfile.TemporaryDirectory() as name:
        folder = CdiFolder(Path(name))
        folder.write(spec, UID)
        assert folder.read(spec.kind, UID) == spec
        assert folder.claims(spec.kind) == {UID}
        folder.remove(spec.kind, UID)
        folder.remove(spec.kind, UID)
        assert folder.read(spec.kind, UID) is None
        assert folder.claims(spec.kind) == set()


def test_the_file_is_what_runtimes_expect(tmp_path: Path) -> None:
    """Name, version, kind and fields are those of the CDI specification."""
    mount = Mount("/var/lib/x", "/imexd")
    spec = evolve(SPEC, devices={**SPEC.devices, "b": Edits(env=("A=1",), mounts=(mount,))}, edits=Edits(env=("B=",)))
    CdiFolder(tmp_path).write(spec, UID)
    file = tmp_path / f"k8s.compute-domain.nvidia.com-claim_{UID}.json"

    assert json.loads(file.read_bytes()) == {
        "cdiVersion": "0.5.0",
        "kind": "k8s.compute-domain.nvidia.com/claim",
        "devices": [
            {
                "name": f"{UID}-channel-0",
                "containerEdits": {
                    "deviceNodes": [
                        {
                            "path": "/dev/nvidia-caps-imex-channels/channel0",
                            "type": "c",
                            "major": 508,
                            "minor": 0,
                            "fileMode": 0o666,
                        }
                    ]
                },
            },
            {
                "name": "b",
                "containerEdits": {
                    "env": ["A=1"],
                    "mounts": [
                        {
                            "hostPath": "/var/lib/x",
                            "containerPath": "/imexd",
                            "options": ["rw", "nosuid", "nodev", "bind"],
                        }
                    ],
                },
            },
        ],
        "containerEdits": {"env": ["B="]},
    }
    assert file.stat().st_mode & 0o444 == 0o444
    assert qualified(CLAIM_KIND, f"{UID}-channel-0") == f"k8s.compute-domain.nvidia.com/claim={UID}-channel-0"


@pytest.mark.parametrize(
    ("kind", "name", "version"), [("v/c", "a1", "0.3.0"), ("v/c", "1a", "0.5.0"), ("v/c.d", "a1", "0.6.0")]
)
def test_version_is_the_lowest_that_will_do(tmp_path: Path, kind: str, name: str, version: str) -> None:
    """Old runtimes refuse newer versions, so none is asked for without need."""
    folder = CdiFolder(tmp_path)
    folder.write(CdiSpec(kind=kind, devices={name: Edits(env=("A=1",))}), UID)

    assert json.loads(folder.path(kind, UID).read_bytes())["cdiVersion"] == version


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"kind": "v/c"}', '{"cdiVersion":"0.3.0","kind":"v/c","devices":[{"name":"a"}]}'],
)
def test_an_unreadable_leftover_is_absent_but_swept(tmp_path: Path, content: str) -> None:
    """A file that is not of our making reads as absent, is found by the sweep, and can be written over."""
    folder = CdiFolder(tmp_path)
    folder.path(CLAIM_KIND, UID).write_text(content)

    assert folder.read(CLAIM_KIND, UID) is None
    assert folder.claims() == {UID}
    folder.write(SPEC, UID)
    assert folder.read(CLAIM_KIND, UID) == SPEC


@pytest.mark.parametrize(
    "change", [{"annotations": {"a": "b"}}, {"cdiVersion": "1.0.0"}, {"containerEdits": {"hooks": []}}, {"kind": "v/c"}]
)
def test_a_file_with_more_in_it_is_not_ours(tmp_path: Path, change: dict[str, Any]) -> None:
    """What a runtime would obey and we did not write is no equal of ours."""
    folder = CdiFolder(tmp_path)
    folder.write(SPEC, UID)
    file = folder.path(CLAIM_KIND, UID)
    file.write_text(json.dumps(json.loads(file.read_bytes()) | change))

    assert folder.read(CLAIM_KIND, UID) is None


@pytest.mark.parametrize(
    ("spec", "because"),
    [
        (evolve(SPEC, devices={}), "it has no devices"),
        (evolve(SPEC, devices={"": Edits(env=("A=1",))}), "device name ''"),
        (evolve(SPEC, devices={"-a": Edits(env=("A=1",))}), "device name '-a'"),
        (evolve(SPEC, devices={"a": Edits()}), "device a has no edits"),
        (evolve(SPEC, edits=Edits(env=("NOVALUE",))), "environment entry 'NOVALUE'"),
        (evolve(SPEC, edits=Edits(env=("=1",))), "environment entry '=1'"),
        (evolve(SPEC, edits=Edits(device_nodes=(DeviceNode("dev/x", 1, 1),))), "device node path 'dev/x'"),
        (evolve(SPEC, edits=Edits(mounts=(Mount("x", "/y"),))), "mount 'x' at '/y'"),
        (evolve(SPEC, kind="claim"), "is no kind of CDI devices"),
        (evolve(SPEC, kind="../v/c"), "is no kind of CDI devices"),
    ],
)
def test_what_no_runtime_accepts_is_refused(tmp_path: Path, spec: CdiSpec, because: str) -> None:
    """A faulty file would make the runtime drop the whole of it: refused before it is written."""
    with pytest.raises(Refused, match=because):
        CdiFolder(tmp_path).write(spec, UID)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "a_b", "-a"])
def test_a_uid_never_leads_out_of_the_folder(tmp_path: Path, uid: str) -> None:
    """What is no uid is refused before it becomes a path."""
    with pytest.raises(Refused, match="is no uid"):
        CdiFolder(tmp_path).remove(CLAIM_KIND, uid)


def test_other_files_are_not_ours_to_sweep(tmp_path: Path) -> None:
    """Only files of the kind, whole names, count; a missing folder has none."""
    for name in ("k8s.gpu.nvidia.com-claim_u1.json", "nvidia.yaml", ".k8s.compute-domain.nvidia.com-claim_u2.json.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "k8s.compute-domain.nvidia.com-claim_u3.json").touch()

    assert CdiFolder(tmp_path).claims() == {"u3"}
    assert CdiFolder(tmp_path / "none").claims() == set()
