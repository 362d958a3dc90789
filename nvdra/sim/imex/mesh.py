"""An instance's connections: it dials every other node of its list, is dialled by them, and keeps a letter for each."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from nvdra.sim.imex.books import Exports, Imports, hash_of
from nvdra.sim.imex.network import Link, Message, Network
from nvdra.sim.imex.settings import Control

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
ROW_LIMIT = 1.0


class Identity(NamedTuple):
    """Who an instance is: its line in the list of nodes, and that list."""

    own: int
    names: list[str]
    address: str
    port: int

    @property
    def nodes(self) -> str:
        """What instances compare."""
        return hash_of(self.names)


class Peer:
    """One other node as this instance knows it."""

    def __init__(self, index: int, name: str) -> None:
        self.index, self.name, self.address = index, name, ""
        self.status = "NEVER_CONNECTED"
        self.link: Link | None = None
        self.generation = self.version = ""
        self.times = 0
        self.due, self.delay = 0.0, FIRST_DELAY
        self.caller = ""
        """The generation that dialled us last."""

    @property
    def connected(self) -> bool:
        """Whether our own link to it is up."""
        return self.status == "CONNECTED"


class Mesh:
    """All peers of one instance. `changed` is called when a connection came or went."""

    def __init__(
        self, who: Identity, network: Network, books: tuple[Exports, Imports], say: Callable[..., None]
    ) -> None:
        self.who, self._network, self._say = who, network, say
        self.exports, self.imports = books
        self.peers = {i: Peer(i, name) for i, name in enumerate(who.names) if i != who.own}
        self.control = Control()
        self.state: Callable[[], str] = lambda: "INITIALIZING"
        self.changed: Callable[[], None] = lambda: None
        self._callers: set[Link] = set()
        self._waiting: dict[tuple[int, str], asyncio.Future[Message]] = {}
        self._closed = False

    # The outgoing side.

    def resolve(self, hosts: dict[str, list[str]]) -> None:
        """Take the addresses behind all names anew: the first of our own family. An address stands for itself."""
        for peer in self.peers.values():
            literal = ":" in peer.name or peer.name.replace(".", "").isdecimal()
            found = hosts.get(peer.name, [peer.name] if literal else [])
            peer.address = next((a for a in found if (":" in a) == (":" in self.who.address)), "")

    def meet_itself(self) -> None:
        """The real one has a connection to its own node too, and its log begins with that."""
        self._say(_established(self.who.own, self.who.address, 1))

    def reconnect(self) -> None:
        """Close all outgoing links and make them again."""
        for peer in self.peers.values():
            peer.due, peer.delay = 0.0, FIRST_DELAY
            if peer.link is not None:
                peer.link.close()

    def dial_due(self, now: float) -> None:
        """Dial those whose time has come."""
        for peer in self.peers.values():
            if peer.link is None and peer.due <= now and peer.address and not self._hidden(peer):
                peer.due, peer.delay = now + peer.delay, min(peer.delay * 2, LONGEST_DELAY)
                closed, opened = partial(self._lost, peer), partial(self._greet, peer)
                peer.link = Link(partial(self._answered, peer), closed, opened)
                self._network.dial(peer.address, self.who.port, peer.link)

    def apply(self, control: Control) -> None:
        """Act out what the control file says of peers."""
        hidden_before = self.control.unreachable
        self.control = control
        if control.unreachable == hidden_before:
            return
        for peer in self.peers.values():
            peer.due = 0.0
            if self._hidden(peer) and peer.link is not None:
                peer.link.close()
        for link in tuple(self._callers):
            if link.peer in self.peers and self._hidden(self.peers[link.peer]):
                link.close()

    def _hidden(self, peer: Peer) -> bool:
        return bool({peer.name, peer.address} & self.control.unreachable)

    def _greet(self, peer: Peer, link: Link) -> None:
        self.reply(
            link,
            {
                "hello": self.who.own,
                "generation": self.imports.generation,
                "version": self.control.version,
                "nodes": self.who.nodes,
            },
        )

    def _answered(self, peer: Peer, link: Link, message: Message) -> None:
        if "welcome" in message:
            self._welcomed(peer, message)
        elif "refused" in message:
            self._refused(peer, message)
        elif "bye" in message:
            self._left(peer)
        elif "answer" in message:
            future = self._waiting.pop((peer.index, message["answer"]), None)
            if future is not None and not future.done():
                future.set_result(message)

    def _welcomed(self, peer: Peer, message: Message) -> None:
        if peer.generation and peer.generation != message["generation"]:
            self._say(f"Node {peer.index} is a new instance, cleaning up everything imported from it", "WARNING")
            self._invalidate(peer)
        peer.generation, peer.version = message["generation"], message["version"]
        peer.status, peer.delay = "CONNECTED", FIRST_DELAY
        peer.times += 1
        self._say(_established(peer.index, peer.address, peer.times))
        self.changed()

    def _refused(self, peer: Peer, message: Message) -> None:
        if message["refused"] == "version":
            peer.status, peer.version = "VERSION_MISMATCH", message["version"]
            self._say(
                f"Node {peer.index} version mismatch: it runs {peer.version}, not {self.control.version}", "ERROR"
            )
        else:
            peer.status = "INVALID"
            self._say(f"Node {peer.index} has a node config that differs from ours, refusing to connect", "ERROR")
        self.changed()

    def _left(self, peer: Peer) -> None:
        if peer.status != "DISCONNECTED":  # it says so on both links
            self._say(f"Node {peer.index} has shut down")
        self._invalidate(peer)
        self.exports.released(peer.index)
        peer.status = "DISCONNECTED"
        self.changed()

    def _invalidate(self, peer: Peer) -> None:
        lost = self.imports.gone(peer.index)
        if lost:
            self._say(f"{lost} imports from node {peer.index} are no longer valid", "ERROR")

    def _lost(self, peer: Peer, link: Link) -> None:
        if peer.link is not link:
            return
        peer.link = None
        if peer.connected:
            peer.status = "RECOVERING"
            peer.due = 0.0
            if not self._closed:
                self._say(f"Connection lost to node {peer.index}: {peer.address}:{self.who.port}", "WARNING")
        for key in [key for key in self._waiting if key[0] == peer.index]:
            self._waiting.pop(key).cancel()
        self.changed()

    # The incoming side.

    def called(self) -> Link:
        """A link that somebody else opens."""
        return Link(self._heard, self._callers.discard, self._callers.add)

    def _heard(self, link: Link, message: Message) -> None:
        if "hello" in message:
            self._hello(link, message)
        elif link.peer not in self.peers:
            link.close()
        elif "ask" in message:
            self.reply(link, {"answer": message["ask"], **self._tell(link.peer, message["ask"])})
        elif "bye" in message:
            self._left(self.peers[link.peer])

    def _hello(self, link: Link, message: Message) -> None:
        peer = self.peers.get(message["hello"])
        if message["nodes"] != self.who.nodes or peer is None:
            self._turn_away(link, "nodes")
        elif self._hidden(peer):
            link.close()
        elif message["version"] != self.control.version:
            self._turn_away(link, "version")
        else:
            link.peer = peer.index
            if peer.caller != message["generation"]:  # what its former instance held went with that
                self.exports.released(peer.index)
                peer.caller = message["generation"]
            if not peer.connected:
                peer.due = 0.0
            self.reply(link, {"welcome": 1, "generation": self.imports.generation, "version": self.control.version})
            self.changed()

    def _turn_away(self, link: Link, why: str) -> None:
        link.send({"refused": why, "version": self.control.version})
        link.close()

    def _tell(self, peer: int, what: str) -> Message:
        if what == "row":
            return {"node": self.node()}
        if what == "import":
            self.exports.added(peer)
            return {}
        return {"error": f"unknown question {what}"}

    def reply(self, link: Link, message: Message) -> None:
        """Send, as slowly as the control file says."""
        if self.control.slow:
            asyncio.get_running_loop().call_later(self.control.slow, link.send, message)
        else:
            link.send(message)

    # What it knows.

    def missing(self, among: Iterable[int]) -> list[int]:
        """Those of the nodes that we are not connected to."""
        return [index for index in among if index in self.peers and not self.peers[index].connected]

    async def ask(self, index: int, what: str, limit: float = ROW_LIMIT) -> Message | None:
        """Another instance's answer; None when there is none in time."""
        peer = self.peers[index]
        if peer.link is None or not peer.connected:
            return None
        future = self._waiting.setdefault((index, what), asyncio.get_running_loop().create_future())
        peer.link.send({"ask": what})
        await asyncio.wait([future], timeout=limit)
        return future.result() if future.done() and not future.cancelled() else None

    def node(self) -> dict[str, Any]:
        """This node's part of the view."""
        row = {index: peer.status for index, peer in self.peers.items()} | {self.who.own: "CONNECTED"}
        return _entry(self.who, self.who.own, self.state(), self.control.version, row)

    async def domain(self) -> dict[str, Any]:
        """The view of the whole domain, in the shape that `nvidia-imex-ctl -N -j` prints."""
        answers = await asyncio.gather(*(self.ask(index, "row") for index in self.peers))
        nodes = {self.who.own: self.node()}
        for index, answer in zip(self.peers, answers, strict=True):
            silent = dict.fromkeys(range(len(self.who.names)), "INVALID")
            nodes[index] = answer["node"] if answer else _entry(self.who, index, "UNAVAILABLE", "", silent)
        return {"nodes": {str(index): nodes[index] for index in sorted(nodes)}, "status": _verdict(nodes)}

    def close(self, *, clean: bool) -> None:
        """Close everything; a clean stop tells the peers, which ends what they imported from here."""
        self._closed = True
        links = [*self._callers, *(peer.link for peer in self.peers.values() if peer.link is not None)]
        for link in links:
            if clean:
                link.send({"bye": self.who.own})
            link.close()


def _established(index: int, address: str, times: int) -> str:
    return f"Connection established to node {index} with ip address {address}. Number of times connected: {times}"


def _entry(who: Identity, index: int, status: str, version: str, row: dict[int, str]) -> dict[str, Any]:
    connections = {
        str(other): {"host": who.names[other], "status": row[other], "changed": True} for other in sorted(row)
    }
    return {"status": status, "host": who.names[index], "connections": connections, "changed": True, "version": version}


def _verdict(nodes: dict[int, dict[str, Any]]) -> str:
    """UP when all is well, as the real one says; where its line between DEGRADED and DOWN is, is a guess."""
    ready = [node for node in nodes.values() if node["status"] == "READY"]
    full = all(cell["status"] == "CONNECTED" for node in ready for cell in node["connections"].values())
    if len(ready) == len(nodes) and full:
        return "UP"
    return "DEGRADED" if len(ready) > 1 else "DOWN"
