"""An OCI image archive from layers that are tar files: what a registry would serve, in one file, without one."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@frozen
class Image:
    """One image: its name, its layers from the lowest, and what it starts."""

    name: str
    layers: Sequence[Path]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    labels: Mapping[str, str] = field(factory=dict)

    def config(self, digests: Mapping[Path, str]) -> dict[str, Any]:
        """The image's config blob. The layers are not compressed, so a layer's digest is its diff id too."""
        started = {"Entrypoint": list(self.entrypoint), "Cmd": list(self.command), "Labels": dict(self.labels)}
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Env": [path], **{key: value for key, value in started.items() if value}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digests[layer]}" for layer in self.layers]},
        }


def write_archive(archive: Path, images: Sequence[Image]) -> None:
    """All images in one archive, each layer once; `ctr images import`, `skopeo copy oci-archive:` and others read it."""
    digests = {layer: digest_of(layer) for image in images for layer in image.layers}
    unfinished = archive.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as tar:
        for layer, digest in digests.items():
            info = tarfile.TarInfo(f"blobs/sha256/{digest}")
            info.size = layer.stat().st_size
            with layer.open("rb") as content:
                tar.addfile(info, content)
        manifests = [_manifest(tar, image, digests) for image in images]
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": manifests}))
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    unfinished.rename(archive)


def digest_of(path: Path) -> str:
    """SHA-256, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _manifest(tar: tarfile.TarFile, image: Image, digests: Mapping[Path, str]) -> dict[str, Any]:
    layers = [
        {"mediaType": LAYER, "digest": f"sha256:{digests[path]}", "size": path.stat().st_size} for path in image.layers
    ]
    config = {"mediaType": CONFIG, **_blob(tar, _json(image.config(digests)))}
    manifest = _json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
    names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
    return {"mediaType": MANIFEST, **_blob(tar, manifest), "annotations": names}


def _blob(tar: tarfile.TarFile, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    if f"blobs/sha256/{digest}" not in tar.getnames():
        _add(tar, f"blobs/sha256/{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
