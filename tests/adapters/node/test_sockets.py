import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nvdra.adapters.kubelet.sockets import MAX_SOCKET_PATH, SocketPaths, claim_path
from nvdra.errors import ConfigError

DRIVER = "compute-domain.nvidia.com"


@contextmanager
def bound(path: Path, *, listen: bool) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(path))
        if listen:
            found.listen()
        yield


def test_names_are_those_that_the_kubelet_knows() -> None:
    """They are the same for every plugin of the driver on a node, so that a second one meets the first."""
    plain = SocketPaths(DRIVER, Path("/var/lib/kubelet/plugins"), Path("/var/lib/kubelet/plugins_registry"))

    assert str(plain.dra) == "/var/lib/kubelet/plugins/compute-domain.nvidia.com/dra.sock"
    assert str(plain.registration) == "/var/lib/kubelet/plugins_registry/compute-domain.nvidia.com-reg.sock"
    plain.check()


@pytest.mark.parametrize("flag", ["plugins", "registrar"])
def test_too_long_a_path_names_itself_and_the_flag(flag: str) -> None:
    """A path over 107 characters is refused with its length and what to shorten; one of 107 passes."""
    long, short = Path("/" + "x" * 120), Path("/k")
    paths = SocketPaths(DRIVER, long, short) if flag == "plugins" else SocketPaths(DRIVER, short, long)
    with pytest.raises(ConfigError, match=rf"has \d+ characters .* 107: shorten --kubelet-{flag}"):
        paths.check()

    fitting = MAX_SOCKET_PATH - len(f"/{DRIVER}-reg.sock")
    SocketPaths(DRIVER, short, Path("/" + "x" * (fitting - 1))).check()


async def test_a_stale_socket_is_replaced(short_folder: Path) -> None:
    """A socket that nobody listens on is a leftover and goes."""
    path = short_folder / "s.sock"
    with bound(path, listen=False):
        pass
    await claim_path(path, DRIVER)

    assert not path.exists()


async def test_nothing_there_is_fine(short_folder: Path) -> None:
    """A free path needs nothing."""
    await claim_path(short_folder / "s.sock", DRIVER)


async def test_a_file_in_the_way_is_named_and_kept(short_folder: Path) -> None:
    """What is no socket is not ours to remove."""
    path = short_folder / "s.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match=f"{path} is not a socket"):
        await claim_path(path, DRIVER)

    assert path.read_text() == "precious"


async def test_a_foreign_listener_is_named_and_kept(short_folder: Path) -> None:
    """A process that listens but is no plugin is not pushed aside either."""
    path = short_folder / "s.sock"
    with bound(path, listen=True), pytest.raises(ConfigError, match=f"another process listens on {path}"):
        await claim_path(path, DRIVER)

    assert path.is_socket()


async def test_a_folder_that_cannot_be_looked_into_is_named(short_folder: Path) -> None:
    """A disk error ends the plugin with a line that has path, cause and way out, and no trace."""
    loop = short_folder / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match=f"cannot look at {loop}/dra.sock: Too many levels.*; is the node's disk in"):
        await claim_path(loop / "dra.sock", DRIVER)
