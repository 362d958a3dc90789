"""What needs no cluster: the archive's form. What needs a C compiler only: NVML's stand-in under the real nvidia-ml-py."""

import hashlib
import json
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from nvdra.adapters.driver_root import DriverRoot
from nvdra.adapters.nvml import NvmlLibrary
from tests.cluster.bed import hardware
from tests.cluster.bed.layout import Node
from tests.cluster.image import CHECKOUT, LAUNCHER
from tests.cluster.oci import Image, write_archive


def test_an_archive_holds_each_layer_once_and_says_where(tmp_path: Path) -> None:
    """Two images that share a layer: every digest that is named leads to a blob with that digest."""
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w"):
        pass
    archive = tmp_path / "images.tar"
    write_archive(
        archive, [Image("localhost/a:1", [layer], command=["a"]), Image("localhost/b:1", [layer], command=["b"])]
    )
    with tarfile.open(archive) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]  # all are files
        assert len(files) == len(tar.getnames())
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    index = json.loads(files["index.json"])
    assert [m["annotations"]["io.containerd.image.name"] for m in index["manifests"]] == [
        "localhost/a:1",
        "localhost/b:1",
    ]
    for manifest in index["manifests"]:
        body = json.loads(files[_blob(manifest)])
        config = json.loads(files[_blob(body["config"])])
        assert config["rootfs"]["diff_ids"] == [one["digest"] for one in body["layers"]]
        assert files[_blob(body["layers"][0])] == layer.read_bytes()


def test_both_ways_to_the_image_start_the_same_program() -> None:
    """The Dockerfile's launcher is the one of `make image`."""
    assert LAUNCHER.replace("\n", "\\n") in (CHECKOUT / "Dockerfile").read_text()


@pytest.mark.cluster
async def test_nvml_s_stand_in_answers_the_real_bindings(tmp_path: Path) -> None:
    """GPUs, driver, fabric, faults: what hardware.conf says is what nvidia-ml-py reads, anew at each look."""
    node = Node(1, tmp_path)
    hardware.install(node)
    library = NvmlLibrary(DriverRoot(node.driver, PurePosixPath("/run/nvidia/driver")))
    found = await library.read()
    assert (found.error, found.driver_version, len(found.gpus)) == ("", hardware.DRIVER, hardware.GPUS)
    fabric = found.gpus[0].fabric
    assert fabric is not None
    assert (fabric.state, fabric.status, f"{fabric.cluster_uuid}.{fabric.clique_id}") == (3, 0, node.clique)
    hardware.describe(node, None)
    assert (await library.read()).gpus[0].fabric is None
    hardware.describe(node, None, init=9)
    assert "Driver Not Loaded" in (await library.read()).error


def _blob(described: dict[str, str]) -> str:
    return f"blobs/{described['digest'].replace(':', '/')}"
