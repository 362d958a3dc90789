"""Which API server, and as whom: in the cluster, or by a kubeconfig. Nothing is imported that is not needed."""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from nvdra.adapters.http.connection import Endpoint
from nvdra.adapters.kube.credentials import Credentials, pem_file, tls_context, token_file
from nvdra.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@frozen
class Access:
    """All that a client needs to know. `where` says who told us, for error texts."""

    endpoint: Endpoint
    credentials: Credentials
    namespace: str = "default"
    where: str = ""


def load(
    kubeconfig: str = "",
    *,
    context: str = "",
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    clock: Callable[[], float] = time.monotonic,
) -> Access:
    """The flag's kubeconfig, else $KUBECONFIG, else the cluster we run in, else ~/.kube/config."""
    from nvdra.adapters.kube import kubeconfig as files

    named = kubeconfig or environ.get("KUBECONFIG", "")
    if named:
        return files.from_kubeconfig(named, context, clock=clock)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ, service_account, clock)
    default = Path(environ.get("HOME", "/")) / ".kube" / "config"
    if default.is_file():
        return files.from_kubeconfig(str(default), context, clock=clock)
    raise ConfigError(
        f"no API server to talk to: not in a cluster (KUBERNETES_SERVICE_HOST is not set), no --kubeconfig, "
        f"no KUBECONFIG and no {default}"
    )


def in_cluster(
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    clock: Callable[[], float] = time.monotonic,
) -> Access:
    """What every pod is given: the service's address, a token that is renewed, the cluster's authority."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("KUBERNETES_SERVICE_HOST is not set, so this is no pod; give --kubeconfig")
    if not port.isdigit():
        raise ConfigError(f"KUBERNETES_SERVICE_PORT is {port!r}, which is no port number")

    def trust() -> ssl.SSLContext:
        return tls_context(pem_file(service_account / "ca.crt", "certificate authority"))

    namespace = service_account / "namespace"
    return Access(
        Endpoint(host, int(port), trust(), renew=trust),
        token_file(service_account / "token", clock),
        namespace.read_text().strip() if namespace.is_file() else "default",
        f"the service account in {service_account}",
    )


def split_url(url: str, where: str) -> tuple[bool, str, int, str]:
    """`https://host:port/prefix` in parts: whether it is TLS, host, port, prefix."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{where}: server {url!r} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(f"{where}: server {url!r} is no http:// or https:// URL")
    secure = parts.scheme == "https"
    return secure, host, port or (443 if secure else 80), parts.path.rstrip("/")
