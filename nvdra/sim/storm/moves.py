"""What befalls the world of itself while the storm goes on: users, crashes, power, cables; one line of text each."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

from nvdra.api.kinds import COMPUTE_DOMAINS, NODES, PODS
from nvdra.sim.apiserver.status import StatusError
from nvdra.sim.kube.shapes import labels
from nvdra.sim.storm.foreign import STRANGER
from nvdra.sim.storm.node import Node
from nvdra.sim.storm.users import SPACE, Users
from nvdra.sim.storm.world import World

DOMAINS: Final = ("alpha", "beta")
WEIGHTS: Final = {
    "team": 14,
    "domain": 2,
    "undomain": 1,
    "worker": 8,
    "unworker": 1.2,
    "force-pod": 0.7,
    "tear-off": 0.3,
    "smash": 0.6,
    "strip": 0.6,
    "stranger": 0.4,
    "unstranger": 3,
    "foreign": 0.2,
    "unforeign": 2,
    "kill": 5,
    "term": 1,
    "kill-daemon": 1,
    "imex-crash": 0.7,
    "imex-stuck": 0.7,
    "imex-free": 3,
    "power-off": 0.7,
    "power-on": 5,
    "cut": 1.5,
    "mend": 4,
    "vanish": 0.3,
    "train": 0.7,
    "trained": 4,
    "api-restart": 0.6,
    "api-forget": 0.4,
    "api-away": 0.3,
    "api-back": 8,
}
HEALING: Final = frozenset({"unstranger", "unforeign", "imex-free", "power-on", "mend", "trained", "api-back"})
"""Moves that no shrinking leaves out on its own: they end what others began."""


@define(eq=False)
class Moves:
    """Draws moves, and does them."""

    world: World
    users: Users = field(init=False)
    _drawn: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.users = Users(self.world)

    def draw(self) -> str:
        """The next move; "" when nothing fits."""
        self._drawn += 1
        fate = self.world.fate
        lines = self._possible()
        alike = Counter(line.partition(" ")[0] for line in lines)
        possible = [(line, self._weight(line.partition(" ")[0], alike)) for line in lines]
        total = sum(weight for _, weight in possible)
        drawn = fate.chance("move", self._drawn) * total
        for line, weight in possible:
            drawn -= weight
            if drawn < 0:
                return line
        return ""

    def pause(self) -> float:
        """Seconds until the next."""
        fate = self.world.fate
        pace = fate.weather.get("pace", 1.0)
        return pace * (0.02 + 12.0 * fate.chance("pause", self._drawn) ** 4)

    async def do(self, line: str) -> None:
        """Do it."""
        verb, *words = line.split()
        self.world.trace.note("move", line, "fate", to=words[-1] if words else "API")
        if verb in self.users.acts:
            await self.users.do(line)
            return
        self._acts()[verb](*words)
        await asyncio.sleep(0)

    async def heal(self) -> None:
        """The storm ends: cables, power, fabrics are well again, and strangers have left."""
        self._api_back()
        for node in self.world.nodes.values():
            self._mend(node.name)
            self._trained(node.name)
            self._imex_free(node.name)
            if not node.up:
                node.power_on()
            await self.users.do(f"unstranger {node.name}")
        for called in DOMAINS:
            await self.users.do(f"unforeign {called}")

    def _weight(self, verb: str, alike: Counter[str]) -> float:
        """All lines of one verb share its weight."""
        return WEIGHTS[verb] * self.world.fate.weather.get(verb, 1.0) / alike[verb]

    def _possible(self) -> Sequence[str]:
        """Every line that fits the world as it is."""
        return [*self._of_users(), *self._of_nodes(), *self._of_processes()]

    def _of_users(self) -> list[str]:
        view, lines = self.world.view, []
        nodes = sorted(self.world.nodes)
        for called in DOMAINS:
            there = view.find(COMPUTE_DOMAINS, called, SPACE)
            lines += [f"domain {called} {n}" for n in (0, 1, 2, len(nodes))] if there is None else []
            lines += [f"team {called} {n}" for n in range(1, 1 + len(nodes))] if there is None else []
            lines += [f"undomain {called}", f"tear-off {called}"] if there else []
            lines += [f"smash {called} {what}" for what in ("daemonset", "policy", "template")] if there else []
            lines += [f"foreign {called}"] if there is None else [f"unforeign {called}"]
            for node in nodes:
                if view.find(PODS, f"{called}-{node}", SPACE) is not None:
                    lines.append(f"unworker {called} {node}")
                elif there is not None:
                    lines += [f"worker {called} {node}", f"worker {called} {node} 20"]
        for node in nodes:
            label = labels(view.find(NODES, node) or {"metadata": {}})
            lines += [f"force-pod {node} daemon", f"force-pod {node} worker", f"strip {node}", f"stranger {node}"]
            lines += [f"unstranger {node}"] if STRANGER in label.values() else []
        return lines

    def _of_nodes(self) -> list[str]:
        lines = []
        for node in self.world.nodes.values():
            here = node.name
            lines.append(f"power-off {here}" if node.up else f"power-on {here}")
            lines.append(f"mend {here}" if node.cut else f"cut {here}")
            lines.append(f"imex-free {here}" if node.stuck else f"imex-stuck {here}")
            lines += [f"vanish {here}", f"imex-crash {here}", f"kill-daemon {here}"] if node.up else []
            if node.clique:
                lines.append(f"trained {here}" if node.training else f"train {here}")
        return lines

    def _of_processes(self) -> list[str]:
        lines = [f"kill {life.name}" for life in self.world.lives() if life.alive]
        lines += [f"term {life.name}" for life in self.world.controllers if life.alive]
        lines += ["api-back"] if self.world.away else ["api-away"]
        return [*lines, "api-restart", "api-forget"]

    # Doing.

    def _acts(self) -> dict[str, Callable[..., None]]:
        return {
            "kill": lambda name: self._life(name, "kill"),
            "term": lambda name: self._life(name, "stop"),
            "kill-daemon": self._kill_daemon,
            "imex-crash": self._imex_crash,
            "imex-stuck": lambda name: setattr(self._node(name), "stuck", True),
            "imex-free": self._imex_free,
            "power-off": lambda name: self._node(name).power_off() if self._node(name).up else None,
            "power-on": lambda name: None if self._node(name).up else self._node(name).power_on(),
            "cut": lambda name: setattr(self._node(name), "cut", True),
            "mend": self._mend,
            "vanish": self._vanish,
            "train": lambda name: setattr(self._node(name), "training", True),
            "trained": self._trained,
            "api-restart": self._api_restart,
            "api-forget": self._api_forget,
            "api-away": lambda: self._away(away=True),
            "api-back": self._api_back,
        }

    def _node(self, name: str) -> Node:
        return self.world.nodes[name]

    def _life(self, name: str, how: str) -> None:
        for life in self.world.lives():
            if life.name == name and life.alive:
                getattr(life, how)()

    def _kill_daemon(self, name: str) -> None:
        for container in list(self._node(name).containers.values()):
            if container.daemon is not None:
                container.kill()

    def _imex_crash(self, name: str) -> None:
        session = self._node(name).session
        if session is not None:
            session.end(134)

    def _imex_free(self, name: str) -> None:
        self._node(name).stuck = False

    def _mend(self, name: str) -> None:
        self._node(name).cut = False

    def _trained(self, name: str) -> None:
        self._node(name).training = False

    def _vanish(self, name: str) -> None:
        """Somebody deletes the Node object; its kubelet makes a new one."""
        ref = self.world.store.ref("", "v1", "nodes", name=name)
        try:
            self.world.store.delete(ref)
        except StatusError:  # it has gone meanwhile
            return

    def _away(self, *, away: bool) -> None:
        self.world.away = away

    def _api_back(self) -> None:
        self._away(away=False)

    def _api_restart(self) -> None:
        """All watches end."""
        for watcher in self.world.store.hub.everybody():
            watcher.close()

    def _api_forget(self) -> None:
        """Compaction: no watch can go on from what was."""
        self.world.store.forget()
        self._api_restart()
