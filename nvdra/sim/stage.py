"""How the demo talks: steps as they happen, a live table on a terminal, and checks that decide its exit code."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import define, field
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nvdra.errors import NvdraError
from nvdra.sim.steps import StepReader

FRESH_SECONDS = 1.5
MOST_ROWS = 30


@define
class Stage:
    """`live`: a table of the statecharts' states while something is waited for; else one plain line a step."""

    live: bool
    keep_going: bool = False
    console: Console = field(factory=lambda: Console(highlight=False, soft_wrap=True))
    failed: list[str] = field(factory=list)
    began: float = field(factory=time.monotonic)

    def title(self, text: str) -> None:
        """A new part begins."""
        self.console.print(f"\n[bold]━━ {text}" if self.live else f"\n== {text}")

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(text, markup=False)

    def command(self, text: str, output: str) -> None:
        """A command of the guide, and what it prints here."""
        self.console.print(f"\n$ {text}", style="bold" if self.live else None, markup=False)
        self.console.print(output.rstrip("\n"), markup=False)

    def check(self, sentence: str, holds: bool) -> None:
        """Something that must be so."""
        self.console.print(
            f"{'✓' if holds else '✗'} {sentence}",
            style=("green" if holds else "red") if self.live else None,
            markup=False,
        )
        if not holds:
            self.failed.append(sentence)
            if not self.keep_going:
                raise NvdraError(f"not so: {sentence}")

    async def until(
        self, what: str, holds: Callable[[], Awaitable[bool]], reader: StepReader, limit: float = 60.0
    ) -> None:
        """Wait, and show what goes on meanwhile."""
        began = time.monotonic()
        if self.live:
            with Live(console=self.console, refresh_per_second=10, transient=True) as live:
                done = await self._wait(holds, limit, lambda: live.update(self._table(what, reader)), reader)
                live.update(self._table(what, reader))
            self.console.print(self._table(what, reader))
        else:
            done = await self._wait(holds, limit, lambda: None, reader)
        self.check(f"{what} ({time.monotonic() - began:.1f} s)", done)

    async def _wait(
        self, holds: Callable[[], Awaitable[bool]], limit: float, draw: Callable[[], None], reader: StepReader
    ) -> bool:
        end = time.monotonic() + limit
        while True:
            done = await holds()
            for step in reader.fresh():
                if not self.live:
                    said = f" ({step.because})" if step.because else ""
                    at = time.monotonic() - self.began
                    self.say(f"  {at:5.1f}  {step.node}  {step.kind} {step.title}: {step.state}{said}")
            draw()
            if done or time.monotonic() > end:
                return done
            await asyncio.sleep(0.1)

    def _table(self, what: str, reader: StepReader) -> Table:
        table = Table(title=f"waiting: {what}", title_justify="left", expand=False)
        for column in ("node", "statechart", "object", "state", "because"):
            table.add_column(column)
        if len(reader.states) > MOST_ROWS:
            return self._counts(what, reader)
        rows = sorted(reader.states.items(), key=lambda item: (item[1].kind, item[1].title, item[0]))
        for key, step in rows:
            style = "bold yellow" if time.monotonic() - reader.changed[key] < FRESH_SECONDS else None
            table.add_row(step.node, step.kind, step.title[:48], step.state, step.because[:48], style=style)
        return table

    def _counts(self, what: str, reader: StepReader) -> Table:
        table = Table(title=f"waiting: {what}", title_justify="left", expand=False)
        for column in ("statechart", "state", "objects"):
            table.add_column(column)
        counts = Counter((step.kind, step.state) for step in reader.states.values())
        for (kind, state), number in sorted(counts.items()):
            table.add_row(kind, state, str(number))
        return table
