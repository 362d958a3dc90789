"""How we prove who we are, and how the API server does: bearer tokens and TLS contexts."""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from nvdra.errors import ConfigError

_log = logging.getLogger(__name__)

TOKEN_SECONDS = 60.0
"""A token in a file is replaced from time to time (in-cluster: hourly); it is read again at most this often."""


class Credentials(Protocol):
    """Where the Authorization header comes from."""

    async def header(self, *, fresh: bool = False) -> str:
        """The header's value, or "" for none. `fresh` after the last one was refused."""
        ...


@frozen
class FixedHeader:
    """Always the same; empty for clients that show a certificate or nothing."""

    value: str = field(default="", repr=False)

    async def header(self, *, fresh: bool = False) -> str:
        """Just that."""
        return self.value


@define
class RenewedHeader:
    """Read again at most every minute, and at once when it was refused."""

    _read: Callable[[], str] = field(alias="read")
    _clock: Callable[[], float] = field(default=time.monotonic, alias="clock")
    _in_thread: bool = field(default=False, alias="in_thread")
    _value: str = field(default="", init=False, repr=False)
    _read_at: float | None = field(default=None, init=False)

    async def header(self, *, fresh: bool = False) -> str:
        """The last one read, or a new one when that is too old or was refused."""
        if fresh or self._read_at is None or self._clock() - self._read_at >= TOKEN_SECONDS:
            try:
                self._value = await asyncio.to_thread(self._read) if self._in_thread else self._read()
            except ConfigError as error:
                if not self._value:
                    raise
                _log.warning("going on with the last token: %s", error)
            self._read_at = self._clock()
        return self._value


def token_file(path: Path, clock: Callable[[], float] = time.monotonic) -> RenewedHeader:
    """A bearer token that somebody else keeps in a file."""

    def read() -> str:
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"token file {path}: cannot be read: {error}") from error
        if not token:
            raise ConfigError(f"token file {path}: it is empty")
        return f"Bearer {token}"

    return RenewedHeader(read, clock)


@frozen
class Pem:
    """PEM text from a file or from a kubeconfig; `where` says which."""

    content: bytes = field(repr=False)
    where: str


def pem_file(path: Path, what: str) -> Pem:
    """Read a PEM file."""
    try:
        return Pem(path.read_bytes(), f"{what} {path}")
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read: {error.strerror}") from error


def tls_context(
    authority: Pem | None, *, insecure: bool = False, certificate: Pem | None = None, key: Pem | None = None
) -> ssl.SSLContext:
    """Trust the cluster's authority and nobody else; the system's only where no authority is given."""
    if authority is None and not insecure:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority is not None:
        _trust(context, authority)
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trust(context: ssl.SSLContext, authority: Pem) -> None:
    try:
        context.load_verify_locations(cadata=authority.content.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{authority.where}: no certificate authority in PEM: {error}") from error


def _show(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    """Python takes client certificates from files only; a file in memory leaves no key on the disk."""
    descriptor = os.memfd_create("nvdra-client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate.content + b"\n" + key.content)
        # An empty password, as the default asks on the terminal when the key is encrypted.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(f"{certificate.where} with {key.where}: no usable client certificate: {error}") from error
    finally:
        os.close(descriptor)
