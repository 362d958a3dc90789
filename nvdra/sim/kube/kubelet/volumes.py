"""What a pod brings into its containers besides CDI: volumes, and what its environment refers to."""

import base64
from pathlib import Path
from typing import Final

from attrs import define, field

from nvdra.api.kind import Kind
from nvdra.errors import NotFound
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.runtime.environment import ConfigMissingError
from nvdra.sim.kube.runtime.rootfs import Mount, on_host
from nvdra.sim.kube.shapes import Json, dig, namespace, uid

_KINDS: Final[dict[str, Kind[Json]]] = {"configMap": kinds.CONFIG_MAPS, "secret": kinds.SECRETS}
_MAKES: Final = frozenset({"emptyDir", "hostPath", "configMap", "secret"})


@define(eq=False)
class Material:
    """Configuration that one pod refers to, fetched before its containers start, and its volumes on this node."""

    cluster: Cluster
    node_root: Path
    pod: Json
    _data: dict[tuple[str, str], dict[str, str] | None] = field(factory=dict, init=False)

    async def fetch(self) -> None:
        """Read every ConfigMap and Secret that the pod refers to."""
        for kind, named in sorted(_references(self.pod)):
            self._data[(kind, named)] = await self._read(kind, named)

    def lookup(self, kind: str, named: str, key: str) -> str | None:
        """One value, None when it is not there."""
        return (self._data.get((kind, named)) or {}).get(key)

    def env_from(self, container: Json) -> dict[str, str]:
        """`envFrom` of a container."""
        env: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            kind = "configMap" if "configMapRef" in source else "secret"
            reference = source[f"{kind}Ref"]
            found = self._data.get((kind, reference["name"]))
            if found is None and not reference.get("optional"):
                raise ConfigMissingError(f'{kind} "{reference["name"]}" not found')
            env |= {f"{source.get('prefix', '')}{k}": v for k, v in (found or {}).items()}
        return env

    def unknown(self) -> list[str]:
        """Names of volumes that this rack does not make."""
        return [v["name"] for v in self.pod["spec"].get("volumes") or () if not _MAKES & set(v)]

    def mounts(self, container: Json) -> tuple[Mount, ...]:
        """`volumeMounts` of a container, the volumes made on this node."""
        volumes = {v["name"]: v for v in self.pod["spec"].get("volumes") or ()}
        found = []
        for mount in sorted(container.get("volumeMounts") or (), key=lambda m: str(m["mountPath"])):
            volume = volumes.get(mount["name"])
            if volume is None or not _MAKES & set(volume):
                continue
            host = self._made(volume)
            if mount.get("subPath"):
                host = host / str(mount["subPath"])
                host.mkdir(parents=True, exist_ok=True)
            found.append(Mount(host, mount["mountPath"]))
        return tuple(found)

    def _made(self, volume: Json) -> Path:
        if "hostPath" in volume:
            path = on_host(self.node_root, volume["hostPath"]["path"])
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            return path
        folder = self.node_root / "var/lib/kubelet/pods" / uid(self.pod) / "volumes" / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        for kind in _KINDS:
            if kind in volume:
                self._write(kind, volume[kind], folder)
        return folder

    def _write(self, kind: str, source: Json, folder: Path) -> None:
        named = source.get("name") or source.get("secretName")
        data = self._data.get((kind, str(named)))
        if data is None:
            if not source.get("optional"):
                raise ConfigMissingError(f'{kind} "{named}" not found')
            return
        paths = {item["key"]: item["path"] for item in source.get("items") or ()} or {k: k for k in data}
        for key, path in paths.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(data.get(key, ""))

    async def _read(self, kind: str, named: str) -> dict[str, str] | None:
        try:
            found = await self.cluster.get(_KINDS[kind], named, namespace(self.pod))
        except NotFound:
            return None
        data: dict[str, str] = found.get("data") or {}
        return data if kind == "configMap" else {k: base64.b64decode(v).decode() for k, v in data.items()}


def _references(pod: Json) -> set[tuple[str, str]]:
    found = set()
    for volume in pod["spec"].get("volumes") or ():
        for kind in _KINDS:
            named = dig(volume, kind, "name") or dig(volume, kind, "secretName")
            if named:
                found.add((kind, named))
    for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
        sources = [entry.get("valueFrom") or {} for entry in container.get("env") or ()]
        for source in [*sources, *(container.get("envFrom") or ())]:
            for kind in _KINDS:
                named = dig(source, f"{kind}KeyRef", "name") or dig(source, f"{kind}Ref", "name")
                if named:
                    found.add((kind, named))
    return found
