"""What must hold in a controller's world when it is calm, and how one looks at it."""

import contextlib

from nvdra.api import kinds, names
from nvdra.errors import NotFound
from tests.builders import CLIQUE, OTHER_CLIQUE, OWN
from tests.world.machines import World, now

NODES = {"node-0": CLIQUE, "node-1": CLIQUE, "node-2": CLIQUE, "node-3": OTHER_CLIQUE, "plain-4": ""}


class ControllerSights(World):
    """`domains`: by name; `uids`: all that ever were; `daemons`: by node, for whom and whether ready."""

    def there(self, name):
        return now(self.little.seen(self.domains[name])) if name in self.domains else None

    def label_of(self, node):
        found = now(self.little.hands.get(kinds.NODES, node))
        return found.metadata.labels.get(names.DOMAIN_LABEL, "")

    def all_rosters(self, uid=""):
        found = now(self.little.hands.list(kinds.ROSTERS, OWN)).items
        return [r for r in found if uid in ("", r.metadata.labels[names.DOMAIN_LABEL])]

    def roster(self, uid, clique):
        with contextlib.suppress(NotFound):
            return now(self.little.hands.get(kinds.ROSTERS, names.roster_name(uid, clique), OWN))
        return None

    def note_members(self):
        for uid, domain in self.uids.items():
            mine = [node for node in NODES if self.label_of(node) == uid]
            ready = [n for n in mine if not NODES[n] or self.daemons.get(n) == (uid, True)]
            if len(ready) >= domain.spec.numNodes:
                self.formed_once.add(uid)
            if not mine:  # seen by the controller or not: what it says until it says otherwise binds nobody
                self.latched.discard(uid)
                self.emptied.add(uid)

    # And in the end.

    def calm(self):
        self.eyes.blind.clear()
        self.passes(400)

    def converged(self):
        for name in self.domains:
            seen = self.there(name)
            assert seen is None or not seen.metadata.deleting, "a deleted domain does not end"
            if seen is not None:
                self.complete(seen)
        for uid in self.uids:
            if self.there(self.uids[uid].metadata.name) is None or self.uids[uid] not in self.domains.values():
                left = list(now(self.little.left_of(uid)))
                assert left == [], f"left of a domain that is gone: {left}"
        before = self.little.store.counters.snapshot()
        self.passes(120)
        spent = self.little.store.counters.snapshot() - before
        writes = [r for r in spent.requests if r.agent == "controller" and r.verb not in ("get", "list", "watch")]
        assert writes == [], "it writes although nothing changes"

    def complete(self, seen):
        uid = seen.metadata.uid
        assert seen.metadata.finalizers == (names.FINALIZER,)
        left = now(self.little.left_of(uid))
        assert len([thing for thing in left if thing.startswith("ResourceClaimTemplate")]) == 2, left
        assert len([thing for thing in left if thing.startswith("DaemonSet")]) == 1, left
        assert len([thing for thing in left if thing.startswith("NetworkPolicy")]) == 1, left
        mine = sorted(node for node in NODES if self.label_of(node) == uid)
        assert [node.name for node in seen.status.nodes] == mine
        listed = sorted(e.nodeName for r in self.all_rosters(uid) for e in r.daemons)
        assert listed == mine
        for roster in self.all_rosters(uid):
            assert roster.formed == (seen.condition("Formed").status == "True")
            for entry in roster.daemons:
                ready = not roster.cliqueID or self.daemons.get(entry.nodeName) == (uid, True)
                assert entry.status == ("Ready" if ready else "NotReady"), entry
                assert (entry.index >= 0) == bool(roster.cliqueID)
        ready = [n for n in mine if not NODES[n] or self.daemons.get(n) == (uid, True)]
        formed = seen.condition("Formed").status == "True"
        assert formed or len(ready) < seen.spec.numNodes
        assert seen.status.status == ("Ready" if formed and (ready or not mine) else "NotReady")
