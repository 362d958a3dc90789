"""`python -m nvdra.sim.imex imex|ctl|import …`: what the shims on a pretend node start."""

import os
import sys
import time
from pathlib import Path

from nvdra.sim.imex import ctl
from nvdra.sim.imex.settings import ControlFile, ImexFault, Place, place_from


def main(arguments: list[str], place: Place) -> int:
    """Be one of the three programs; its exit code."""
    program, *rest = arguments or [""]
    try:
        if program == "imex":
            return _imex(rest, place)
        if program == "ctl":
            return _ctl(ctl.request_of(rest), place)
        if program == "import" and len(rest) == 2:
            config = ctl.request_of(["-c", rest[0], "-q"])
            return _ctl(config._replace(ask={"ask": "import", "from": int(rest[1])}), place)
    except ImexFault as fault:
        print(fault, file=sys.stderr)
        return 1
    print("usage: imex -c CONFIG | ctl [-c CONFIG] -q|-N [-j] | import CONFIG FROM_ID", file=sys.stderr)
    return 2


def _imex(arguments: list[str], place: Place) -> int:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio does without; a fifth of our start-up time
    import asyncio
    import signal

    from nvdra.sim.imex.instance import CLEAN_STOPS, PretendImex
    from nvdra.sim.imex.network import TcpNetwork

    path = Path(arguments[1]) if len(arguments) > 1 and arguments[0] == "-c" else Path("/etc/nvidia-imex/config.cfg")

    async def live() -> int:
        imex = PretendImex(path, place, TcpNetwork(), lambda line: print(line, flush=True))
        for number in (*CLEAN_STOPS, signal.SIGUSR1, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, imex.signal, number)
        return await imex.run()

    return asyncio.run(live())


def _ctl(request: ctl.Request, place: Place) -> int:
    import json
    import socket

    while ControlFile(place.control).look().hang_ctl:
        time.sleep(0.2)
    answer = None
    try:
        with socket.create_connection((request.address, request.port)) as connection, connection.makefile("rw") as line:
            line.write(json.dumps(request.ask) + "\n")
            line.flush()
            answer = json.loads(line.readline())
    except (OSError, ValueError):
        answer = None
    if request.ask["ask"] == "import":
        failed = answer is None or "error" in answer
        print(json.dumps(answer), file=sys.stderr if failed else sys.stdout)
        return int(failed)
    text, code = ctl.shown(request, answer)
    print(text, end="")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], place_from(os.environ)))
