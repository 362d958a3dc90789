"""Files that somebody else could write: kubeconfigs and claim records. A clear error, never a crash, memory in bounds."""

import asyncio
import contextlib
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.cdi import CLAIM_KIND, CdiFolder
from nvdra.adapters.checkpoint import Records, decode
from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.kubeconfig import from_kubeconfig
from nvdra.api.local import DAEMON_STATUSES, FOLDERS, DomainFolder
from nvdra.apps.hardware import StatusFiles
from nvdra.engine.store import Store
from nvdra.errors import ConfigError

PLAIN = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1", "tls-server-name": "x"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=20), st.dates()
)
TREES = st.recursive(LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)), max_leaves=8)  # fmt: skip
MEGABYTE = 2**20
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
"""Ten to the ninth words, if anybody writes them out."""


def opened(content: bytes) -> Access | None:
    """Read as a kubeconfig: an access, or a ConfigError that names the file."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(content)
        try:
            return from_kubeconfig(file.name)
        except ConfigError as error:
            assert file.name in str(error)
            assert len(str(error)) < 4000
            return None


def test_the_plain_one_is_read() -> None:
    """What the others are made of is a good one."""
    found = opened(yaml.safe_dump(PLAIN).encode())
    assert found is not None
    assert found.endpoint.url == "http://127.0.0.1:1"


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_a_kubeconfig_of_any_bytes(content: bytes) -> None:
    """Bytes of any kind."""
    opened(content)


@given(st.data())
@settings(max_examples=300)
def test_a_kubeconfig_with_anything_anywhere(data: st.DataObject) -> None:
    """A good one in which some values are of any other kind."""
    document = json.loads(json.dumps(PLAIN))
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(TREES)
            break
    with contextlib.suppress(yaml.YAMLError):
        opened(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("a: " * 50_000, id="long"),
        pytest.param(BOMB + "current-context: *a8\n", id="bomb-as-context"),
        pytest.param(BOMB + "current-context: c\ncontexts: [{name: c, context: {cluster: *a8}}]\n", id="bomb-as-name"),
        pytest.param(BOMB + yaml.safe_dump(PLAIN).replace("token: t", "token: *a8"), id="bomb-as-token"),
        pytest.param(BOMB + yaml.safe_dump(PLAIN).replace("http://127.0.0.1:1", "*a8"), id="bomb-as-server"),
    ],
)
def test_a_kubeconfig_that_grows_when_it_is_read(text: str) -> None:
    """Nesting and aliases without end are refused, within 64 MB."""
    tracemalloc.start()
    try:
        opened(text.encode())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * MEGABYTE


@given(st.one_of(st.binary(max_size=200), TREES.map(lambda tree: json.dumps(tree, default=str).encode())))
def test_a_record_of_any_bytes(content: bytes) -> None:
    """It is a record or a ValueError, and nothing else."""
    with contextlib.suppress(ValueError):
        decode(content)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b'{"version": 1e999}'])
def test_a_record_that_is_nested_or_long_without_end(content: bytes) -> None:
    """It is set aside under another name; the records beside it are read."""
    with tempfile.TemporaryDirectory() as folder:
        store = Records(Path(folder), "boot")
        store.folder.mkdir()
        (store.folder / "u-1.json").write_bytes(content)
        records, aside = store.load_all()
        assert records == ()
        assert [one.path.name for one in aside] == ["u-1.json.corrupt-1"]
        assert len(aside[0].because) < 4000


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b'{"reason": {"a": 1}}', b'{"reason": "' + b"x" * 100_000 + b'"}']
)
async def test_a_daemons_status_of_any_kind(tmp_path: Path, content: bytes) -> None:
    """The plugin goes on looking, and what it takes from such a file is short."""
    store = Store(lambda _: None)
    store.put(FOLDERS, DomainFolder("d"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/status.json").write_bytes(content)
    looking = asyncio.create_task(StatusFiles(DiskFiles(), store, tmp_path, every=0.001).run())
    await asyncio.sleep(0.02)
    assert not looking.done()
    looking.cancel()
    known = store.get(DAEMON_STATUSES, "d")
    assert known is None or len(known.reason) < 4000


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}", b"\xff"])
def test_a_cdi_file_of_any_kind(tmp_path: Path, content: bytes) -> None:
    """What we would not write ourselves is not ours."""
    folder = CdiFolder(tmp_path)
    folder.path(CLAIM_KIND, "u").write_bytes(content)
    assert folder.read(CLAIM_KIND, "u") is None
