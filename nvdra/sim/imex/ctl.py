"""nvidia-imex-ctl's command line: what it asks of the command service, and what it prints. Without asyncio."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nvdra.sim.imex.settings import COMMAND_PORT, ImexFault, read_config

LETTERS = {
    "CONNECTED": "C",
    "NEVER_CONNECTED": "N",
    "RECOVERING": "R",
    "DISCONNECTED": "D",
    "INVALID": "I",
    "VERSION_MISMATCH": "V",
}


class Request(NamedTuple):
    """One question: where the command service is, what it is asked, and how the answer is shown."""

    address: str
    port: int
    ask: dict[str, Any]
    as_json: bool = False


class Shown(NamedTuple):
    """What the tool prints, and its exit code."""

    text: str
    code: int = 0


def request_of(arguments: Sequence[str]) -> Request:
    """The question in the command line; ImexFault for what the pretend tool does not do."""
    config_path, address, port, ask, as_json = Path("/etc/nvidia-imex/config.cfg"), "", COMMAND_PORT, "", False
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-c" and rest:
            config_path = Path(rest.pop(0))
        elif word == "-i" and len(rest) > 1:
            address, port = rest.pop(0), int(rest.pop(0))
        elif word in {"-q", "-N"}:
            ask = {"-q": "state", "-N": "domain"}[word]
        elif word in {"-j", "-H"}:
            as_json = as_json or word == "-j"
        else:
            raise ImexFault(f"Invalid argument {word}: the pretend nvidia-imex-ctl knows -c -i -q -N -j -H")
    if not ask:
        raise ImexFault("Nothing to do: give -q or -N")
    if address and ask == "state":
        return Request(address, port, {"ask": ask})
    config = read_config(config_path)
    if not config.command_enabled:
        raise ImexFault(f"The command service is not enabled in {config_path}")
    return Request(config.command_bind or "127.0.0.1", config.command_port, {"ask": ask}, as_json)


def shown(request: Request, answer: dict[str, Any] | None) -> Shown:
    """What is printed for an answer; None: nobody answers at the command port."""
    if answer is None:
        return Shown("UNAVAILABLE\n", 1)
    if "error" in answer:
        return Shown(f"{answer['error']}\n", 1)
    if request.ask["ask"] == "state":
        return Shown(f"{answer['state']}\n")
    if request.as_json:
        stamp = time.strftime("%m/%d/%Y %H:%M:%S.000")
        return Shown(json.dumps({"nodes": answer["nodes"], "timestamp": stamp, "status": answer["status"]}) + "\n")
    return Shown(_table(answer))


def _table(answer: dict[str, Any]) -> str:
    nodes = answer["nodes"]
    lines = [f"Node #{i:<3} - {n['host']} - {n['status']} - Version: {n['version']}" for i, n in nodes.items()]
    lines += ["", "Nodes From\\To " + " ".join(f"{i:>3}" for i in nodes)]
    for index, node in nodes.items():
        row = [LETTERS.get(node["connections"].get(i, {}).get("status", ""), "?") for i in nodes]
        lines.append(f"{index:>13} " + " ".join(f"{letter:>3}" for letter in row))
    return "\n".join([*lines, f"Domain State: {answer['status']}", ""])
