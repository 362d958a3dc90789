"""The pod's hosts file with the addresses behind IMEX's names. Pure: bytes in, bytes out.

nvidia-imex reads names once and resolves them again on SIGUSR1, so a changed address is a changed line here.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from nvdra.errors import ConfigError

BEGIN: Final = b"# nvdra: IMEX names begin (made by nvdra, changed without notice)"
END: Final = b"# nvdra: IMEX names end"

EMPTY_SLOT: Final = ("127.0.0.2", "::ffff:127.0.0.2")
"""Where a name without a node points: refused at once, and never asked of DNS, in either address family.

Not 127.0.0.1 and not ::1: nvidia-imex finds its own line by comparing the addresses of the network interfaces with
those of the list, and these two are on every node's `lo`. 127.0.0.2 is routed there without being such an address;
IPv6 has one loopback address only, so its sentinel is the same one, mapped.
"""


def rewritten(hosts_text: bytes, mapping: Mapping[str, tuple[str, ...]]) -> bytes:
    """The file with each name at its addresses (several for dual stack, none for an empty slot), all else as it was.

    Our lines stand in one marked block that is replaced where it is; a file without one gets it at its end.
    """
    lines = hosts_text.split(b"\n")
    ended = lines[-1] == b""
    if ended:
        lines.pop()
    before, after, found = _around_block(lines)
    ours = {name.encode() for name in mapping}
    before, after = _foreign(before, ours), _foreign(after, ours)
    block = [BEGIN, *_lines(mapping), END]
    newline = b"\n" if ended or not found or not after else b""
    return b"\n".join([*before, *block, *after]) + newline


def _around_block(lines: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes], bool]:
    """Lines before and after the first whole block. A torn block is none: its lines are known by their names."""
    for start, line in enumerate(lines):
        if line != BEGIN:
            continue
        for stop in range(start + 1, len(lines)):
            if lines[stop] == END:
                return lines[:start], lines[stop + 1 :], True
            if lines[stop] == BEGIN:
                break
    return lines, (), False


def _foreign(lines: Sequence[bytes], ours: set[bytes]) -> list[bytes]:
    return [line for line in lines if line not in {BEGIN, END} and not _names_only(line, ours)]


def _names_only(line: bytes, ours: set[bytes]) -> bool:
    """Whether a line speaks of our names and of nothing else."""
    _, *spoken = line.split(b"#", 1)[0].split() or [b""]
    return bool(spoken) and ours.issuperset(spoken)


def _lines(mapping: Mapping[str, tuple[str, ...]]) -> list[bytes]:
    return [
        f"{_checked(name, address)}\t{name}".encode()
        for name, addresses in mapping.items()
        for address in (addresses or EMPTY_SLOT)
    ]


def _checked(name: str, address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise ConfigError(f"hosts file: {address!r} for {name} is not an IP address") from error
    return address
