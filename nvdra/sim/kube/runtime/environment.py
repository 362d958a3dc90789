"""Pure: a container's environment and command line from its spec, with the downward API and $(NAME) filled in."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import frozen

from nvdra.sim.kube.shapes import Json, annotations, dig, labels, name, namespace, node_of, uid

_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_KEYED: Final = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")

Lookup = Callable[[str, str, str], str | None]
"""Kind ("configMap" or "secret"), name and key to a value, None when there is none."""


class ConfigMissingError(Exception):
    """CreateContainerConfigError: something that the spec refers to is not there."""


@frozen
class Surroundings:
    """What a pod's spec may refer to beside itself."""

    pod_ip: str
    host_ip: str
    lookup: Lookup


def environment(pod: Json, container: Json, around: Surroundings) -> dict[str, str]:
    """`env` of a container, in order, each value seeing those before it."""
    env: dict[str, str] = {}
    for entry in container.get("env") or ():
        value = entry.get("value")
        if value is None and entry.get("valueFrom"):
            found = _referred(pod, entry["valueFrom"], around)
            if found is None:
                continue
            env[entry["name"]] = found
        else:
            env[entry["name"]] = expand(value or "", env)
    return env


def argv_of(container: Json, env: Mapping[str, str]) -> list[str]:
    """`command` and `args` with $(NAME) filled in."""
    return [expand(word, env) for word in [*(container.get("command") or ()), *(container.get("args") or ())]]


def expand(text: str, env: Mapping[str, str]) -> str:
    """Fill in $(NAME); an unknown name stays as it is, $$ is a dollar."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def _referred(pod: Json, source: Json, around: Surroundings) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"], around)
    for kind in ("configMap", "secret"):
        reference = source.get(f"{kind}KeyRef")
        if reference:
            return _from_key(kind, reference, around.lookup)
    raise ConfigMissingError(f"env from {', '.join(source)} is not something that the rack knows")


def _from_key(kind: str, reference: Json, lookup: Lookup) -> str | None:
    value = lookup(kind, reference["name"], reference["key"])
    if value is None and not reference.get("optional"):
        raise ConfigMissingError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    return value


def field(pod: Json, path: str, around: Surroundings) -> str:
    """One field of the downward API."""
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return (labels if keyed[1] == "labels" else annotations)(pod).get(keyed[2], "")
    plain: dict[str, str] = {
        "metadata.name": name(pod),
        "metadata.namespace": namespace(pod),
        "metadata.uid": uid(pod),
        "spec.nodeName": node_of(pod),
        "spec.serviceAccountName": str(dig(pod, "spec", "serviceAccountName") or "default"),
        "status.podIP": around.pod_ip,
        "status.podIPs": around.pod_ip,
        "status.hostIP": around.host_ip,
        "status.hostIPs": around.host_ip,
    }
    if path not in plain:
        raise ConfigMissingError(f"fieldPath {path} is not something that the rack knows; known: {', '.join(plain)}")
    return plain[path]


def merged(env: Mapping[str, str], injected: Sequence[str]) -> dict[str, str]:
    """The environment with CDI's on top."""
    return {**env, **dict(entry.split("=", 1) for entry in injected)}
