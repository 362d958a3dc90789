"""`nvdra sim scale`: flags in, tables, JSON or a page out."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import click

from nvdra.adapters import logs
from nvdra.errors import ConfigError

_SIZE = re.compile(r"(\d+)/(\d+)")


@click.command("scale")
@click.option("--nodes", multiple=True, help="NODES/CLIQUES of one ComputeDomain, such as 1008/56; may be repeated.")
@click.option("--over", multiple=True, type=float, help="Seconds over which they arrive; 0: at once; may be repeated.")
@click.option("--domains", multiple=True, type=int, help="Provisioned ComputeDomains; may be repeated.")
@click.option("--seconds", default=20.0, show_default=True, help="How long 1 % of them change each second.")
@click.option("--plugins", multiple=True, type=int, help="Plugins that start at once under 429; may be repeated.")
@click.option("--rate", default=200.0, show_default=True, help="Requests a second that are not turned away then.")
@click.option("--all", "everything", is_flag=True, help="All that docs/scale.md has. Takes about half an hour.")
@click.option(
    "--kubeconfig", default="", help="An API server to throw away afterwards; empty: our own, for each run anew."
)
@click.option("--server-pid", multiple=True, type=int, help="Its processes, for their CPU time; may be repeated.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    help="JSON file that the runs are added to, each in place of the same one.",
)
@click.option("--doc", type=click.Path(path_type=Path), help="Page to write, from --save (scale.json beside it).")
def scale(**options: Any) -> None:
    """Thousands of scripted nodes, thousands of ComputeDomains: what a real controller and the API server bear.

    Each run is added to the page by itself: docs/scale.md may be measured run by run, on a quiet machine.
    Nothing asked for but --doc: only the page is written anew.
    """
    logs.set_up("error")
    from nvdra.sim.scale import report

    wanted = _wanted(options)
    saved = options["save"] or (options["doc"].with_suffix(".json") if options["doc"] else None)
    if wanted is not None:
        found = asyncio.run(_measured(wanted, saved))
        click.echo(json.dumps(found, indent=2) if options["output"] == "json" else report.text(found))
    if options["doc"]:
        assert saved is not None
        options["doc"].write_text(report.page(_read(saved)))
    elif wanted is None:
        raise ConfigError("nothing to do: say --nodes, --domains, --plugins, or --all")


async def _measured(wanted: Any, saved: Path | None) -> Any:
    """All runs; each is saved as it ends, beside what was measured before and in place of the same one."""
    from nvdra.sim.scale.ledger import KEYS
    from nvdra.sim.scale.runs import run

    all_found: dict[str, Any] = {"API server": wanted.server, **{part: [] for part in KEYS}}
    async for part, found in run(wanted, lambda line: click.echo(line, err=True)):
        all_found[part].append(found)
        if saved is not None:
            _save(saved, all_found)
    return all_found


def _save(path: Path, found: Any) -> None:
    from nvdra.sim.scale.ledger import merged

    path.write_text(json.dumps(merged(_read(path), found), indent=1) + "\n")


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else []


def _wanted(options: dict[str, Any]) -> Any:
    from nvdra.sim.scale.runs import ARRIVALS, DOMAINS, SIZES, Wanted

    everything = options["everything"]
    sizes = tuple(_size(text) for text in options["nodes"]) or (SIZES if everything else ())
    domains = options["domains"] or (DOMAINS if everything else ())
    plugins = options["plugins"] or ((1008,) if everything else ())
    if not (sizes or domains or plugins):
        return None
    return Wanted(
        sizes=sizes,
        arrivals=options["over"] or (ARRIVALS if everything else (0.0,)),
        domains=domains,
        plugins=plugins,
        seconds=options["seconds"],
        rate=options["rate"],
        kubeconfig=options["kubeconfig"],
        pids=options["server_pid"],
    )


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or not 0 < int(found[2]) <= int(found[1]):
        raise ConfigError(f"--nodes {text!r} is not like 1008/56: nodes, and cliques that they are in")
    return int(found[1]), int(found[2])
