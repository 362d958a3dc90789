"""Kubeconfig files: the plain kind read here, anything fancier by the official client, imported only then."""

import base64
import binascii
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nvdra.adapters.http.connection import Endpoint
from nvdra.adapters.kube.config import Access, split_url
from nvdra.adapters.kube.credentials import (
    Credentials,
    FixedHeader,
    Pem,
    RenewedHeader,
    pem_file,
    tls_context,
    token_file,
)
from nvdra.errors import ConfigError

_PLAIN_USER = frozenset(
    {"token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data"}
)

_STRUCTURED = frozenset({"exec", "auth-provider", "extensions", "as-groups", "as-user-extra"})


@frozen
class _Picture:
    """One context of a kubeconfig, looked up: cluster and user as they are written there."""

    path: Path
    context: str
    user_name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    namespace: str

    @property
    def where(self) -> str:
        return f"kubeconfig {self.path}, context {self.context!r}, user {self.user_name!r}"

    def pem(self, of: Mapping[str, Any], key: str) -> Pem | None:
        """`key-data` in base64, or the file that `key` names (relative to the kubeconfig)."""
        if data := of.get(f"{key}-data"):
            try:
                return Pem(base64.b64decode(data, validate=True), f"{self.where}: {key}-data")
            except binascii.Error as error:
                raise ConfigError(f"{self.where}: {key}-data is not base64: {error}") from error
        if path := of.get(key):
            return pem_file(self.path.parent / path, f"{self.where}: {key}")
        return None


def from_kubeconfig(path: str, context: str = "", *, clock: Callable[[], float] = time.monotonic) -> Access:
    """The access that one file's current (or the given) context describes."""
    if ":" in path:
        raise ConfigError(f"KUBECONFIG {path!r} names several files; merge them: kubectl config view --flatten --raw")
    picture = _picture(Path(path).expanduser(), context)
    if picture.cluster.get("proxy-url"):
        raise ConfigError(f"{picture.where}: proxy-url is not supported; give a server that is reached without a proxy")
    secure, host, port, prefix = split_url(picture.cluster["server"], picture.where)
    fancy = sorted(set(picture.user) - _PLAIN_USER)
    official = _official(picture, fancy) if fancy else None
    credentials = _renewed(official, clock) if official is not None else _plain(picture, clock)
    tls = _tls(picture, official) if secure else None
    server_name = picture.cluster.get("tls-server-name", "")
    return Access(Endpoint(host, port, tls, server_name, prefix), credentials, picture.namespace, picture.where)


def _document(path: Path) -> Any:
    """JSON is YAML too, and needs no YAML reader: that is a megabyte and 10 ms."""
    try:
        text = path.read_text()
        if text.startswith("{"):
            with contextlib.suppress(ValueError):
                return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: text that is no UTF-8
        raise ConfigError(f"kubeconfig {path}: cannot be read: {error}") from error
    import yaml

    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: dates that no calendar has
        raise ConfigError(f"kubeconfig {path}: cannot be read: {error}") from error


def _picture(path: Path, wanted: str) -> _Picture:
    document = _document(path)
    if not isinstance(document, dict):
        raise ConfigError(f"kubeconfig {path}: it is no mapping; expected clusters, contexts and users")
    name = wanted or _word(document, "current-context", f"kubeconfig {path}")
    if not name:
        raise ConfigError(f"kubeconfig {path}: it has no current-context; set one: kubectl config use-context NAME")
    context = _entry(document, path, ("contexts", "context"), name)
    where = f"kubeconfig {path}, context {name!r}"
    user_name = _word(context, "user", where)
    cluster = _entry(document, path, ("clusters", "cluster"), _word(context, "cluster", where))
    if not cluster.get("server"):
        raise ConfigError(f"{where}: its cluster has no server")
    user = _entry(document, path, ("users", "user"), user_name) if user_name else {}
    return _Picture(path, name, user_name, cluster, user, _word(context, "namespace", where) or "default")


def _word(of: Mapping[str, Any], key: str, where: str) -> str:
    """One value that is a text; "" when it is not there. Lists that aliases blow up are never written out."""
    value = of.get(key)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise ConfigError(f"{where}: {key} is no text but a {type(value).__name__}")
    return str(value)


def _entry(document: Mapping[str, Any], path: Path, words: tuple[str, str], name: str) -> Mapping[str, Any]:
    """What is listed under that name; only what the official client reads may be more than a text."""
    plural, singular = words
    listed = document.get(plural) or []
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    for entry in entries:
        if entry.get("name") == name:
            value, where = entry.get(singular) or {}, f"kubeconfig {path}: {singular} {name!r}"
            if not isinstance(value, dict):
                raise ConfigError(f"{where} is no mapping")
            there = {key: item for key, item in value.items() if item not in (None, "")}
            return {key: item if key in _STRUCTURED else _word(there, key, where) for key, item in there.items()}
    known = sorted(entry["name"] for entry in entries if isinstance(entry.get("name"), str))
    raise ConfigError(f"kubeconfig {path}: no {singular} is named {name!r}; there are: {', '.join(known) or 'none'}")


def _plain(picture: _Picture, clock: Callable[[], float]) -> Credentials:
    if path := picture.user.get("tokenFile"):
        return token_file(picture.path.parent / path, clock)
    if token := picture.user.get("token"):
        return FixedHeader(f"Bearer {token}")
    return FixedHeader()


def _tls(picture: _Picture, official: Any | None) -> Any:
    """The official client may have got a certificate from a program."""
    user: Mapping[str, Any] = picture.user
    if official is not None and official.cert_file and official.key_file:
        user = {"client-certificate": str(official.cert_file), "client-key": str(official.key_file)}
    certificate, key = picture.pem(user, "client-certificate"), picture.pem(user, "client-key")
    if (certificate is None) != (key is None):
        raise ConfigError(f"{picture.where}: client-certificate and client-key must come together")
    authority = picture.pem(picture.cluster, "certificate-authority")
    insecure = picture.cluster.get("insecure-skip-tls-verify") == "True"
    return tls_context(authority, insecure=insecure, certificate=certificate, key=key)


def _official(picture: _Picture, fancy: list[str]) -> Any:
    """Let the official client log in. It raises nearly anything: this is the edge to somebody else's program."""
    what = f"{picture.where}: {', '.join(fancy)} is read by the Python package kubernetes"
    try:
        from kubernetes.client.configuration import Configuration
        from kubernetes.config import kube_config
    except ImportError as error:
        raise ConfigError(f"{what}, which is not installed: {error}") from error
    configuration = Configuration()
    load: Callable[..., None] = kube_config.load_kube_config
    try:
        load(str(picture.path), picture.context, configuration, persist_config=False)
    except Exception as error:
        raise ConfigError(f"{what}, which failed: {type(error).__name__}: {error}") from error
    if not (_header(configuration) or configuration.cert_file):
        raise ConfigError(f"{what}, which found neither a token nor a certificate (a message above may say why)")
    return configuration


def _renewed(official: Any, clock: Callable[[], float]) -> Credentials:
    def read() -> str:
        if official.refresh_api_key_hook is not None:
            official.refresh_api_key_hook(official)
        return _header(official)

    return RenewedHeader(read, clock, in_thread=True)


def _header(official: Any) -> str:
    keys = official.api_key
    if keys:
        return str(next(iter(keys.values())))
    return str(official.get_basic_auth_token()) if official.username else ""
