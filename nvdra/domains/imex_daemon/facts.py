"""The facts of an IMEX daemon: one function each, its docstring the YAML's sentence. Pure."""

from typing import Final

from nvdra.api.computedomain import RosterEntry
from nvdra.core.findings import Facts, Finding
from nvdra.domains.imex_daemon.files import wanted_hosts, wanted_nodes
from nvdra.domains.imex_daemon.snapshot import Identity, ImexDaemonSnapshot, same_address
from nvdra.domains.imex_daemon.symptoms import crash_loop, symptom_of, unreachable, waiting_for
from nvdra.domains.imex_daemon.views import NO_ANSWER, READY, UNKNOWN
from nvdra.errors import NvdraError

FACTS: Facts[ImexDaemonSnapshot] = Facts()
PATIENCE: Final = 20.0
"""An instance that was ready and does not answer is believed for so long: the tool hangs sometimes, IMEX seldom."""


@FACTS.add
def stopping(seen: ImexDaemonSnapshot) -> Finding:
    """The pod is asked to end."""
    return Finding(seen.stopping, "the pod ends" if seen.stopping else "the pod goes on")


@FACTS.add
def reindexed(seen: ImexDaemonSnapshot) -> Finding:
    """The roster gives this node another index than the running nvidia-imex began with."""
    entry, life, who = seen.entry, seen.life, seen.identity
    if entry is None or entry.index < 0 or not life.running or entry.index == life.index:
        return Finding(False, "the index is the one that nvidia-imex began with")
    return Finding(
        True,
        f"the roster gives {who.node} index {entry.index}, but its nvidia-imex runs with index {life.index},"
        " and peers may hold memory under that: it is left alone;"
        f" delete this pod once no workload of this domain runs on {who.node}",
        f"ComputeDomainClique {who.roster}",
    )


@FACTS.add
def fabric(seen: ImexDaemonSnapshot) -> Finding:
    """This node is in a clique; without one there is no IMEX."""
    clique = seen.identity.clique
    return Finding(bool(clique), f"in clique {clique}" if clique else "this node has no NVLink fabric")


@FACTS.add
def listed(seen: ImexDaemonSnapshot) -> Finding:
    """The roster gives this node an index, at this pod's address."""
    who, entry = seen.identity, seen.entry
    source = f"ComputeDomainClique {who.namespace}/{who.roster}"
    fault = unlisted(seen)
    if entry is None or fault:
        return Finding(False, fault, source)
    return Finding(True, f"index {entry.index}", source)


@FACTS.add
def configured(seen: ImexDaemonSnapshot) -> Finding:
    """The files that nvidia-imex reads say what the roster says."""
    disk = seen.disk
    try:
        stale = [
            *(["imexd.cfg"] if disk.config is None or disk.config != seen.identity.config else []),
            *(["nodes.cfg"] if disk.nodes != wanted_nodes(seen) else []),
            *(["the hosts file"] if disk.hosts != wanted_hosts(seen, disk.hosts) else []),
        ]
    except NvdraError as error:
        return Finding(False, str(error))
    return Finding(not stale, f"to be written: {', '.join(stale)}" if stale else "all files are as they should be")


@FACTS.add
def running(seen: ImexDaemonSnapshot) -> Finding:
    """nvidia-imex runs."""
    life = seen.life
    if life.running:
        return Finding(True, "nvidia-imex runs")
    return Finding(False, why_ended(seen) or "nvidia-imex has not been started yet")


@FACTS.add
def crashing(seen: ImexDaemonSnapshot) -> Finding:
    """nvidia-imex has ended several times within minutes."""
    loop = crash_loop(seen.life.ends, seen.now)
    return Finding(loop is not None, loop.text if loop else "nvidia-imex does not end again and again")


@FACTS.add
def ready(seen: ImexDaemonSnapshot) -> Finding:
    """nvidia-imex-ctl says READY."""
    reading = seen.current_reading
    if reading is None:
        return Finding(False, "nvidia-imex has just been started")
    if reading.state == READY:
        return Finding(True, "nvidia-imex-ctl says READY")
    silent = reading.state in {NO_ANSWER, UNKNOWN}
    if silent and reading.ready_at is not None and seen.now - reading.ready_at < PATIENCE:
        return Finding(True, "nvidia-imex-ctl said READY just now")
    if reading.trouble:
        return Finding(False, reading.trouble)
    everybody = {entry.index: entry.nodeName for entry in seen.members}
    found = waiting_for(reading.state, seen.current_view, seen.life.index, everybody)
    return Finding(False, found.text if found else "nvidia-imex is not ready")


def why_ended(seen: ImexDaemonSnapshot) -> str:
    """Why there is no nvidia-imex any more, and when there is one again; "" when there was none yet."""
    ends = seen.life.ends
    if not ends:
        return ""
    found = crash_loop(ends, seen.now) or symptom_of(ends[-1].exit)
    return f"{found.text}; started again {max(0.0, seen.life.due - ends[-1].at):.0f} s after its end"


def strangers(seen: ImexDaemonSnapshot) -> str:
    """Which ready members the running instance is not connected to; a reason, not unreadiness."""
    peers = {entry.index: entry.nodeName for entry in seen.members if entry.status == "Ready"}
    found = unreachable(seen.current_view, seen.life.index, peers)
    return found.text if found else ""


def unlisted(seen: ImexDaemonSnapshot) -> str:
    """Why the roster does not list this daemon as it is; "" when it does."""
    who, entry = seen.identity, seen.entry
    if seen.roster is None and seen.trouble:
        return f"the list of this domain's nodes ({who.roster}) cannot be read: {seen.trouble}"
    if seen.roster is None:
        return f"the controller has not made the list of this domain's nodes ({who.roster}) yet"
    if entry is None:
        return f"the controller has not listed {who.node} in {who.roster} yet"
    return _misplaced(who, entry)


def awaited(seen: ImexDaemonSnapshot) -> bool:
    """It has only to wait: while nodes are missing, the controller lists those that come a few at a time."""
    if seen.roster is None or seen.roster.formed:
        return False
    entry, who = seen.entry, seen.identity
    return entry is None or (0 <= entry.index < who.slots and bool(_misplaced(who, entry)))


def _misplaced(who: Identity, entry: RosterEntry) -> str:
    if entry.index < 0:
        return f"{who.node} has no index in its IMEX domain: {entry.message or f'all {who.slots} may be in use'}"
    if entry.index >= who.slots:
        return (
            f"{who.node} has index {entry.index}, but IMEX's list has {who.slots} lines on this node;"
            " set the same maximum of nodes per IMEX domain for controller and daemons, and delete this pod"
        )
    if not any(same_address(entry.ipAddress, address) for address in who.addresses):
        return (
            f"the controller lists {who.node} at {entry.ipAddress or 'no address'} and has not seen this pod's"
            f" {who.addresses[0]} yet"
        )
    return ""
