"""The command `nvdra`: finds the sub-command, and is the only place where an error ends the process.

Sub-commands are imported when they are called: `nvdra --help` and the IMEX daemon load nothing that they do not use.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click

from nvdra import __version__
from nvdra.errors import ConfigError, NvdraError


class Entry(NamedTuple):
    """A sub-command: where it is (`module:attribute`) and what `--help` says of it. Not attrs: --help goes without."""

    target: str
    about: str


COMMANDS: Mapping[str, Entry] = {
    "controller": Entry("nvdra.apps.commands:controller", "Serve ComputeDomains: one leader for the cluster."),
    "kubelet-plugin": Entry("nvdra.apps.commands:kubelet_plugin", "Serve the kubelet's claims on one node."),
    "imex-daemon": Entry("nvdra.apps.commands:imex_daemon", "Run nvidia-imex for one ComputeDomain on one node."),
    "prestart": Entry(
        "nvdra.apps.prestart:prestart", "Wait for the node's NVIDIA driver, and explain what is missing."
    ),
    "explain": Entry("nvdra.apps.explain:explain", "Say why a ComputeDomain waits, and what to do next."),
    "install-crds": Entry("nvdra.apps.installation:install_crds", "Bring the cluster's CRDs up to date."),
    "uninstall-check": Entry("nvdra.apps.installation:uninstall_check", "Refuse while ComputeDomains are in use."),
    "sim": Entry("nvdra.sim.cli:sim", "A simulated rack, for demos and tests; no GPU and no cluster needed."),
    "statechart": Entry("nvdra.apps.statechart_tools:statechart", "Check, draw and try out statecharts."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise ConfigError(_missing(cmd_name, error)) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.about) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nvdra")
def nvdra() -> None:
    """NVIDIA GPUs and ComputeDomains for Kubernetes Dynamic Resource Allocation."""


def main() -> None:
    """Run the command line; an error of ours is one message on stderr and exit code 1."""
    try:
        nvdra(prog_name="nvdra")
    except NvdraError as error:
        click.echo(f"nvdra: {error}", err=True)
        sys.exit(1)


def _missing(command: str, error: ModuleNotFoundError) -> str:
    if (error.name or "").partition(".")[0] == "nvdra":
        return f"'nvdra {command}' is not part of this version ({error})"
    extra = "nvdra[sim]" if command == "sim" else "nvdra"
    return f"'nvdra {command}' needs a package that is not installed ({error}): pip install '{extra}'"
