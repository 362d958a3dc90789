"""`python -m tests.cluster.bed up|down|status|env|stop|start`."""

import argparse
import json
import sys
from pathlib import Path

from . import cluster
from .binaries import ready, say
from .faults import BedFault
from .versions import NEWEST, RELEASES, release

HOW_TO = """The cluster is up. kubectl and helm on it:

  export PATH={bin}:$PATH
  kubectl get nodes
  helm list -A

A node's root: python -m tests.cluster.bed node 1 bash. Logs: {logs}
The end of it: make cluster-down
"""


def main(arguments: list[str]) -> int:
    """Do one of the commands; 1 and one line on standard error when it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        return _do(options)
    except BedFault as fault:
        say(str(fault))
        return 1


def _do(options: argparse.Namespace) -> int:
    if options.command == "build":
        ready(release(options.kubernetes))
        return 0
    if options.command == "up":
        made = cluster.up(options.kubernetes, options.name, options.nodes)
        print(HOW_TO.format(bin=made.layout.root / "bin", logs=made.layout.logs))
        return 0
    if options.command == "down":
        cluster.down(options.name)
        return 0
    return _with_running(options)


def _with_running(options: argparse.Namespace) -> int:
    found = cluster.running(options.name)
    if found is None:
        raise BedFault(f"no bed {options.name!r} is up: `make cluster` brings one up")
    if options.command == "status":
        print(json.dumps(found.status(), indent=2))
    elif options.command == "env":
        print(f"export PATH={found.layout.root / 'bin'}:$PATH KUBECONFIG={found.layout.kubeconfig}")
    elif options.command == "stop":
        print(found.stop(options.program))
    elif options.command == "start":
        found.start(options.program)
    elif options.command == "node":
        _become(found.on_node(options.number, *(options.words or ["sh"])))
    return 0


def _become(command: list[str]) -> None:
    import os

    os.chdir(Path("/"))
    os.execvp(command[0], command)  # that is what was asked for


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.bed", description=__doc__)
    parser.add_argument("--name", default="bed", help="more than one bed may be up")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "build"):
        command = commands.add_parser(name)
        command.add_argument("--kubernetes", default=NEWEST, help=f"one of {', '.join(RELEASES)}")
        command.add_argument("--nodes", type=int, default=2)
    for name in ("down", "status", "env"):
        commands.add_parser(name)
    for name in ("stop", "start"):
        commands.add_parser(name).add_argument("program", help="as status names it")
    node = commands.add_parser("node", help="run a command on a node")
    node.add_argument("number", type=int)
    node.add_argument("words", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
