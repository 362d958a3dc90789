"""Plays the one idiom of a shell that waits for a TCP port: `for _ in …; do (: >/dev/tcp/HOST/PORT) …; done`."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from nvdra.sim.kube.runtime.running import Signals
from nvdra.sim.kube.runtime.words import NotUnderstoodError

_IDIOM: Final = re.compile(
    r"for _ in \{1\.\.(?P<tries>\d+)\}; do \(: >/dev/tcp/\$(?P<host>\w+)/(?P<port>\d+)\) 2>/dev/null && exit; "
    r"sleep (?P<pause>[\d.]+); done"
)


@frozen
class Door:
    """A port that somebody waits for."""

    host: str
    port: int
    tries: int
    pause: float

    async def play(self, _signals: Signals) -> int:
        """0 once it is open, and when it was not for all the tries: as the shell does."""
        for _try in range(self.tries):
            try:
                _, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                await asyncio.sleep(self.pause)
            else:
                writer.close()
                break
        return 0


def awaited(script: str, env: Mapping[str, str]) -> Door:
    """The door that a script waits for; NotUnderstoodError when it is another script."""
    found = _IDIOM.fullmatch(script)
    if found is None:
        raise NotUnderstoodError(script)
    return Door(env.get(found["host"], ""), int(found["port"]), int(found["tries"]), float(found["pause"]))
