"""The closed loop of compute-domain and imex-domain: the whole controller, and a world that does as it likes."""

import asyncio
import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from nvdra.api import kinds, names
from nvdra.apps.controller import Controller
from nvdra.errors import NotFound
from tests.builders import CLIQUE, OWN, Little
from tests.unreliable import Unreliable
from tests.virtual_time import wall
from tests.world.controller_sights import NODES, ControllerSights
from tests.world.machines import now

DOMAINS = ("one", "two")
KINDS = (
    "computedomains",
    "nodes",
    "pods",
    "daemonsets",
    "networkpolicies",
    "computedomaincliques",
    "resourceclaimtemplates",
)
nodes, domains = st.sampled_from(sorted(NODES)), st.sampled_from(DOMAINS)


class Watched(Unreliable):
    """Notes when our finalizer is taken off while something is left."""

    world: "ControllerWorld"

    async def patch(self, kind, name, patch, namespace="", **named):
        if kind is kinds.COMPUTE_DOMAINS and not named.get("subresource"):
            self.world.finalizer_is_written(patch)
        return await super().patch(kind, name, patch, namespace, **named)


class ControllerWorld(ControllerSights):
    little: Little

    async def begin(self):
        self.domains = {}
        self.uids = {}
        self.forced: set[str] = set()
        self.daemons: dict[str, tuple[str, bool]] = {}
        self.labels: dict[str, str] = dict.fromkeys(NODES, "")
        self.indices: dict[tuple[str, str, str], int] = {}
        self.owners: dict[tuple[str, str, int], str] = {}
        self.latched: set[str] = set()
        self.emptied: set[str] = set()
        self.formed_once: set[str] = set()
        for name, clique in NODES.items():
            await self.little.node(name, clique)
        self.start()
        for number, name in enumerate(DOMAINS):
            self.domains[name] = await self.little.domain(name, 1 + number)
            self.uids[self.domains[name].metadata.uid] = self.domains[name]

    def start(self):
        self.eyes = Watched(self.little.client("controller"), self.fate)
        self.eyes.world = self
        self.controller = Controller(self.eyes, wall=wall)
        self.task = self.loop.create_task(self.controller.run())
        self.loop.call_soon(self.seed)

    def seed(self):
        """The same life at every run: pauses before a new list are drawn by lot."""
        for reflector in self.controller.reflectors:
            reflector._backoff.rng.seed(1)

    # Users and the cluster.

    @rule(name=domains, nodes=st.sampled_from([0, 2, 3]))
    def create(self, name, nodes):
        if self.there(name) is None:
            self.domains[name] = self.run(self.little.domain(name, nodes))
            self.uids[self.domains[name].metadata.uid] = self.domains[name]

    @rule(name=domains)
    def delete(self, name):
        if self.there(name) is not None:
            self.run(self.quietly(self.little.delete(self.domains[name])))

    @rule(name=domains, some=st.lists(nodes, min_size=1, max_size=4, unique=True), pause=st.sampled_from([0, 1.5]))
    def a_job_runs(self, name, some, pause):
        """Its workers land on nodes, at once or one by one, daemons come, and time goes by."""
        for node in some:
            self.join(node, name)
            self.daemon(node, True)
            self.passes(pause)
        self.passes(4)

    @rule(node=nodes, name=domains, other=domains)
    def a_node_moves_unseen(self, node, name, other):
        """A domain ends, and a node of it is another's already, while the controller looks away."""
        if name == other or self.there(other) is None:
            return
        self.join(node, name)
        self.passes(1)
        self.eyes.blind.add("nodes")
        self.leave(node)
        self.no_daemon(node)
        self.join(node, other)
        self.delete(name)
        self.passes(3)
        self.its_eyes_open()

    @rule(name=domains, some=st.sets(nodes, min_size=1), pause=st.sampled_from([0, 2]))
    def a_job_ends(self, name, some, pause):
        """Some of its workers do, or all."""
        seen = self.there(name)
        for node in sorted(some):
            if seen is not None and self.label_of(node) == seen.metadata.uid:
                self.leave(node)
                self.no_daemon(node)
        self.passes(pause)

    @rule(name=domains)
    def a_daemon_fails(self, name):
        """One that was ready is not any more, for a while."""
        uid = self.domains[name].metadata.uid
        for node, (of, ready) in sorted(self.daemons.items()):
            if of == uid and ready:
                self.daemon(node, False)
                self.passes(2)
                return

    @rule(name=domains)
    def tear_off(self, name):
        if self.there(name) is not None:
            self.forced.add(self.domains[name].metadata.uid)
            self.run(self.quietly(self.little.tear_off(self.domains[name])))

    @rule(node=nodes, name=domains)
    def join(self, node, name):
        """A plugin labels only a free node, and only while the domain lives; a stay takes its time."""
        seen = self.there(name)
        if seen is not None and not seen.metadata.deleting and not self.label_of(node):
            self.run(self.little.join(node, seen.metadata.uid, NODES[node]))
            self.labels[node] = seen.metadata.uid
            self.passes(0)

    async def quietly(self, act):
        """Between the look and the act it may have ended."""
        with contextlib.suppress(NotFound):
            await act

    @rule(node=nodes)
    def leave(self, node):
        self.run(self.little.leave(node))
        self.labels[node] = ""
        self.note_members()

    @rule(node=nodes, ready=st.booleans())
    def daemon(self, node, ready):
        uid = self.label_of(node)
        if uid and NODES[node]:
            if self.daemons.get(node, (uid, False))[0] != uid:
                self.no_daemon(node)
            self.run(self.little.daemon(node, uid, ready=ready))
            self.daemons[node] = (uid, ready)

    @rule(node=nodes)
    def no_daemon(self, node):
        if self.daemons.pop(node, None):
            self.run(self.little.no_daemon(node))

    @rule(kind=st.sampled_from([kinds.DAEMON_SETS, kinds.NETWORK_POLICIES, kinds.CLAIM_TEMPLATES]), name=domains)
    def somebody_deletes(self, kind, name):
        uid = self.domains[name].metadata.uid if name in self.domains else "none"
        for thing in self.run(self.little.hands.list(kind, labels=f"{names.DOMAIN_LABEL}={uid}")).items:
            self.run(self.little.hands.delete(kind, thing.metadata.name, thing.metadata.namespace))

    @rule(clique=st.sampled_from([CLIQUE, CLIQUE, ""]), name=domains)
    def somebody_deletes_a_roster(self, clique, name):
        """Once the status remembers it: within the first seconds nothing else does."""
        seen = self.there(name)
        if seen is None:
            return
        roster = self.roster(seen.metadata.uid, clique)
        known = {entry.cliqueID: entry for entry in seen.status.imexDomains}.get(clique)
        if roster is None or (clique and (known is None or _held(roster) != _members(known))):
            return
        if clique and roster.retired != known.retired:
            return
        self.run(self.little.hands.delete(kinds.ROSTERS, roster.metadata.name, OWN))

    # The controller.

    @rule()
    def the_controller_restarts(self):
        self.task.cancel()
        self.run(_ended(self.task))
        self.start()

    @precondition(lambda self: not self.eyes.blind)
    @rule(kind=st.sampled_from(KINDS))
    def its_eyes_close(self, kind):
        self.eyes.blind.add(kind)

    @precondition(lambda self: self.eyes.blind)
    @rule()
    def its_eyes_open(self):
        self.eyes.blind.clear()

    # What must never be.

    def finalizer_is_written(self, patch):
        meta = patch["metadata"]
        if names.FINALIZER in meta["finalizers"] or meta["uid"] in self.forced:
            return
        left = now(self.little.left_of(meta["uid"]))
        if left:
            self.broken.append(f"the finalizer is released while {left} is left")

    @invariant()
    def no_index_twice_nor_moved(self):
        for roster in self.all_rosters():
            held = [entry.index for entry in roster.daemons if entry.index >= 0]
            kept = [gone.index for gone in roster.retired]
            assert len({*held, *kept}) == len(held) + len(kept), f"an index is held twice: {roster}"
            uid = roster.metadata.labels[names.DOMAIN_LABEL]
            for entry in roster.daemons:
                if entry.index >= 0:
                    first = self.indices.setdefault((uid, roster.cliqueID, entry.nodeName), entry.index)
                    assert entry.index == first, f"{entry.nodeName} was moved from index {first} to {entry.index}"
                    owner = self.owners.setdefault((uid, roster.cliqueID, entry.index), entry.nodeName)
                    assert owner == entry.nodeName, f"index {entry.index} of {owner} is given again, others are unused"

    @invariant()
    def labels_of_living_domains_stay(self):
        for node, uid in self.labels.items():
            domain = self.uids.get(uid)
            seen = now(self.little.seen(domain)) if domain else None
            if seen is not None and not seen.metadata.deleting:
                assert self.label_of(node) == uid, f"the label of {node} was taken while its domain lives"

    @invariant()
    def formed_stays_formed(self):
        self.note_members()
        for name in self.domains:
            seen = self.there(name)
            condition = seen.condition("Formed") if seen else None
            if condition is None or seen.metadata.deleting:
                continue
            uid = seen.metadata.uid
            if condition.status == "True":
                assert uid in self.formed_once, "formed although its nodes were never ready at once"
                self.latched |= {uid} - self.emptied
            else:
                self.emptied.discard(uid)
                assert uid not in self.latched, "a domain that has formed, and has nodes still, has not formed any more"


def _held(roster):
    return {entry.index: entry.nodeName for entry in roster.daemons if entry.index >= 0}


def _members(entry):
    return {index: name for index, name in enumerate(entry.members) if name}


async def _ended(task):
    with contextlib.suppress(asyncio.CancelledError):
        await task
