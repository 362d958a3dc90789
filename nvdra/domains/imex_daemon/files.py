"""The files of nvidia-imex as one daemon's snapshot wants them. Pure; what is in them is said in config and hosts."""

from pathlib import Path

from attrs import field, frozen

from nvdra.api import names
from nvdra.domains.imex_daemon.config import knows_names, nodes_file, nodes_file_of_addresses
from nvdra.domains.imex_daemon.hosts import rewritten
from nvdra.domains.imex_daemon.snapshot import Addresses, ImexDaemonSnapshot


@frozen
class Paths:
    """Where things are, below the root that the container sees as `/`."""

    root: Path = field(default=Path("/"))

    @property
    def config(self) -> Path:
        return self.root / "imexd/imexd.cfg"

    @property
    def nodes(self) -> Path:
        return self.root / "imexd/nodes.cfg"

    @property
    def status(self) -> Path:
        """Read by the plugin on this node."""
        return self.root / "imexd/status.json"

    @property
    def hosts(self) -> Path:
        return self.root / "etc/hosts"

    @property
    def last_words(self) -> Path:
        """The container's termination message."""
        return self.root / "dev/termination-log"


def addresses_of(seen: ImexDaemonSnapshot) -> Addresses:
    """The addresses behind each name of IMEX's list; none at all for a driver that knows no names."""
    who = seen.identity
    if not knows_names(who.driver):
        return {}
    at = {entry.index: entry.ipAddress for entry in seen.members if entry.ipAddress}
    return {
        names.daemon_host_name(who.domain, who.clique, index): (at[index],) if index in at else ()
        for index in range(who.slots)
    }


def wanted_nodes(seen: ImexDaemonSnapshot) -> bytes:
    """nodes.cfg; Refused while an old driver's fixed addresses are not all known."""
    who = seen.identity
    if knows_names(who.driver):
        return nodes_file(names.daemon_host_name(who.domain, who.clique, index) for index in range(who.slots))
    return nodes_file_of_addresses({entry.index: entry.ipAddress for entry in seen.members}, who.wanted)


def wanted_hosts(seen: ImexDaemonSnapshot, before: bytes | None) -> bytes | None:
    """/etc/hosts with our names in it, made from what is there; as it is where there are no names."""
    addresses = addresses_of(seen)
    return rewritten(before or b"", addresses) if addresses else before
