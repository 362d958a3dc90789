"""`nvdra sim`: a rack for people without one."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from nvdra.adapters import logs
from nvdra.errors import NvdraError
from nvdra.sim.scale.command import scale
from nvdra.sim.topology import Topology


@frozen
class _Size:
    """The flags that every sub-command has."""

    nodes: int
    cliques: int
    without_fabric: int
    max_nodes: int

    def topology(self) -> Topology:
        """As a rack is made of it."""
        return Topology(self.nodes, self.cliques, without_fabric=self.without_fabric, max_nodes=max(self.max_nodes, 1))


@click.group()
def sim() -> None:
    """A simulated rack of GB200 nodes: no GPU and no cluster needed."""


@sim.command()
@click.option("--nodes", default=2, show_default=True, help="Nodes with a fabric.")
@click.option("--cliques", default=1, show_default=True, help="NVLink cliques that they are in.")
@click.option("--without-fabric", default=0, show_default=True, help="More nodes, without a fabric.")
@click.option("--max-nodes", default=18, show_default=True, help="Most nodes of one IMEX domain.")
@click.option("--port", default=0, show_default=True, help="Port of the API server; 0: any.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder to keep everything in.")
@click.option("--log-level", default="warning", show_default=True)
def up(
    nodes: int, cliques: int, without_fabric: int, max_nodes: int, port: int, root: Path | None, log_level: str
) -> None:
    """Run a rack until interrupted, and print how to use it with kubectl."""
    logs.set_up(log_level)
    size = _Size(nodes, cliques, without_fabric, max_nodes)
    asyncio.run(_up(size.topology(), port, root))


async def _up(topology: Topology, port: int, root: Path | None) -> None:
    from nvdra.sim.hardware_labels import follow
    from nvdra.sim.rack import Rack, RackSettings

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Rack(RackSettings(topology, root=root, port=port)) as rack:
        click.echo(f"# {len(rack.nodes)} nodes; everything is below {rack.root}; Ctrl-C ends it")
        if not rack.real_devices:
            click.echo("# device nodes are marked plain files here: making real ones needs root")
        click.echo(f"export KUBECONFIG={rack.kubeconfig}")
        sys.stdout.flush()
        hardware = {name: node.spec.root / "hardware.json" for name, node in rack.nodes.items()}
        labels = asyncio.create_task(follow(rack.control_plane.discovery, hardware))
        await stop.wait()
        labels.cancel()
        await asyncio.gather(labels, return_exceptions=True)


@sim.command()
@click.option("--nodes", default=18, show_default=True, help="Nodes with a fabric.")
@click.option("--cliques", default=1, show_default=True, help="NVLink cliques that they are in.")
@click.option("--without-fabric", default=0, show_default=True, help="More nodes, without a fabric.")
@click.option("--max-nodes", default=0, help="Most nodes of one IMEX domain; 0: as many as a clique has.")
@click.option("--limit", default=300.0, show_default=True, help="Seconds to wait at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--log-level", default="error", show_default=True)
def join(
    nodes: int, cliques: int, without_fabric: int, max_nodes: int, limit: float, as_json: bool, log_level: str
) -> None:
    """Join all nodes to one ComputeDomain at once, and count what it costs."""
    logs.set_up(log_level)
    from nvdra.sim.join import join as run
    from nvdra.sim.join import plain

    size = _Size(nodes, cliques, without_fabric, max_nodes or max(18, -(-nodes // cliques)))
    found = plain(asyncio.run(run(size.topology(), lambda line: click.echo(line, err=True), limit)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for what, number in value.items():
                click.echo(f"  {what:<60} {number}")
        else:
            click.echo(f"{name.replace('_', ' '):<32} {value}")


@sim.command()
@click.option("--plain", is_flag=True, help="Plain lines, as when not on a terminal.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first thing that is not as it should be.")
def demo(plain: bool, keep_going: bool) -> None:
    """The user guide's two examples, then 18 nodes in two cliques with one without fabric beside them."""
    logs.set_up("error")
    from nvdra.sim.demo import run

    if not asyncio.run(run(live=sys.stdout.isatty() and not plain, keep_going=keep_going)):
        raise NvdraError("the demo did not go as it should; the lines marked ✗ say where")


@sim.command()
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--steps", default=1000, show_default=True, help="Steps in all; at each of them a fault may come.")
@click.option("--each", default=1500, show_default=True, help="Steps of one seed; then comes the next seed.")
@click.option("--shrink", default=150, show_default=True, help="Storms to try in making a failure small; 0: none.")
@click.option("--lines", default=80, show_default=True, help="Last lines of a failure's story; 0: all.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where a failure is written: script, story, diagram.")
@click.option("--replay", type=click.Path(path_type=Path, exists=True), help="A script of --folder, to be run again.")
@click.option("--quiet", is_flag=True, help="No line for a good storm.")
@click.option("--doc", type=click.Path(path_type=Path, exists=True), help="Page whose table of storms is written.")
def storm(**options: Any) -> None:
    """Everything of the driver together on virtual time, with faults of every kind, from one seed."""
    from nvdra.sim.storm.command import Telling, replayed, storms

    telling = Telling(options["shrink"], options["lines"], options["folder"], options["quiet"], options["doc"])
    if options["replay"] is not None:
        replayed(options["replay"], telling)
        return
    storms(options["seed"], options["steps"], options["each"], telling)


@sim.command()
@click.argument("scenario", default="all")
@click.option("--every", default=1, show_default=True, help="Disturb each so manieth place only.")
@click.option("--quiet", is_flag=True, help="Only the outcome.")
@click.option("--doc", type=click.Path(path_type=Path, exists=True), help="Page whose table of Sieve's is written.")
def sieve(scenario: str, every: int, quiet: bool, doc: Path | None) -> None:
    """One crash, one look into the past, one time of blindness at each step of a scenario, one at a time."""
    from nvdra.sim.storm.command import sieved

    sieved(scenario, every, quiet=quiet, doc=doc)


sim.add_command(scale)
