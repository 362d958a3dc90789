"""`python -m tests.bench [PART …]`: measure, and print one table. With all parts, docs/bench.md is written as well."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import core, prepare, processes, waits
from tests.bench.table import Figure, as_page, as_text

PAGE = Path(__file__).resolve().parents[2] / "docs/bench.md"
PARTS: dict[str, Callable[[], Sequence[Figure]]] = {
    "core": core.figures,
    "prepare": lambda: asyncio.run(prepare.figures()),
    "waits": lambda: asyncio.run(waits.figures()),
    "memory": lambda: asyncio.run(processes.memory()),
    "thousand": lambda: asyncio.run(processes.thousand()),
    "starts": processes.starts,
}


def main(names: Sequence[str]) -> int:
    """0, or 2 when a part is not known."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    found: list[Figure] = []
    for name in names or PARTS:
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        found += PARTS[name]()
    print(as_text(found))
    if not names:
        PAGE.write_text(as_page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
