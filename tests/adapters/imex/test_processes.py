"""Children of ours: output, signals, limits, and no orphans."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import nvdra
from nvdra.adapters.imex.binaries import located
from nvdra.adapters.processes import AsyncProcesses
from nvdra.errors import Refused
from nvdra.ports import Exit, Output

PROCESSES = AsyncProcesses()
PACKAGES = str(Path(nvdra.__file__).parent.parent)


def a_script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def make(path: Path, content: bytes | None, mode: int) -> str:
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    return str(path)


def text_of(path: Path) -> str:
    return path.read_text()


async def until(true, limit: float = 5.0):
    async with asyncio.timeout(limit):
        while not true():
            await asyncio.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_lines_and_exit_code_arrive():
    """Both outputs are passed on line by line, the last 20 are kept, and the code is the child's."""
    lines: list[str] = []
    child = await PROCESSES.start(["sh", "-c", "seq 30; echo bad >&2; printf end; exit 3"], lines.append)

    wanted = [*map(str, range(1, 31)), "bad", "end"]
    assert await child.wait() == child.exited == Exit(3, tuple(wanted[-20:]))
    assert lines == wanted


async def test_very_long_lines_are_cut_not_fatal():
    """A line without end does not fill our memory and does not stop the reading."""
    lines: list[str] = []
    child = await PROCESSES.start(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo; echo last"], lines.append)
    assert (await child.wait()).code == 0
    assert (lines[-1], sum(map(len, lines[:-1]))) == ("last", 300000)


async def test_signals_reach_the_child_and_may_come_late():
    """A signal ends it, its number is the exit code, and one more is no error."""
    child = await PROCESSES.start(["sleep", "60"], lambda _: None)
    assert child.exited is None
    child.signal(signal.SIGTERM)
    assert (await child.wait()).code == -signal.SIGTERM
    child.signal(signal.SIGTERM)


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_us():
    """The child's end is seen although something it left behind still has its output open."""
    lines: list[str] = []
    child = await PROCESSES.start(["sh", "-c", "sleep 60 & echo $!"], lines.append)
    async with asyncio.timeout(5):
        assert await child.wait() == Exit(0, tuple(lines))
    os.kill(int(lines[0]), signal.SIGKILL)


async def test_short_commands():
    """Code and both outputs come back apart."""
    assert await PROCESSES.run(["sh", "-c", "echo out; echo err >&2; exit 2"], 5) == Output(2, "out\n", "err\n")


async def test_commands_past_their_limit_are_killed(tmp_path):
    """None comes back in time, and nothing is left running."""
    stubborn = f"trap '' TERM; echo $$ >{tmp_path}/pid; exec sleep 60"
    assert await PROCESSES.run(["sh", "-c", stubborn], 0.3) is None
    assert not running(int(text_of(tmp_path / "pid")))


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "program: no such program"),
        (b"x", 0o644, "program may not be run"),
        (b"\x7fELF nonsense", 0o755, "program cannot be started: Exec format error; is it built for"),
        (b"#!/no/such/sh\n", 0o755, "program is there, but its interpreter"),
    ],
)
async def test_what_cannot_be_started_is_refused(content, mode, words, tmp_path):
    """Missing, not allowed, not of this machine, without its interpreter: each is said with its path."""
    program = make(tmp_path / "program", content, mode)
    with pytest.raises(Refused, match=words):
        await PROCESSES.start([program], lambda _: None)
    with pytest.raises(Refused, match=words):
        await PROCESSES.run([program], 1)


async def test_no_orphan_outlives_us(tmp_path):
    """When the supervisor is killed, its child is told to end, cleanly."""
    child_script = a_script(
        tmp_path / "child", f"trap 'echo bye >{tmp_path}/bye; exit 0' TERM; echo $$; while :; do sleep 0.05; done"
    )
    supervisor = tmp_path / "supervisor.py"
    program = (
        "import asyncio, sys\n"
        "from nvdra.adapters.processes import AsyncProcesses\n"
        "async def main():\n"
        "    await (await AsyncProcesses().start([sys.argv[1]], lambda l: print(l, flush=True))).wait()\n"
        "asyncio.run(main())\n"
    )
    make(supervisor, program.encode(), 0o644)
    process = await asyncio.create_subprocess_exec(
        sys.executable, supervisor, child_script, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": PACKAGES}
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.communicate()
    await until(lambda: not running(pid))
    assert (tmp_path / "bye").exists()


async def test_a_node_without_threads_to_spare_is_refused_by_name(monkeypatch):
    """At its limit of processes a thread cannot be started: that is a trouble like any other, not the end of us."""

    def full(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    with pytest.raises(Refused, match="true cannot be started: can't start new thread"):
        await PROCESSES.run(["true"], 5)


NO_THREADS = """
import asyncio, threading
from nvdra.adapters.processes import AsyncProcesses, watch_without_threads

def full(_):
    raise RuntimeError("can't start new thread")

async def main():
    threading.Thread.start = full
    child = await AsyncProcesses().start(["sh", "-c", "exit 3"], print)
    print((await child.wait()).code, (await AsyncProcesses().run(["echo", "hello"], 5)).stdout.strip())

watch_without_threads()
asyncio.run(main())
"""


def test_children_need_no_threads():
    """Where the kernel tells of a child's end by itself, no thread waits for it: questions go on on a full node."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_THREADS],
        env={"PYTHONPATH": PACKAGES, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("3 hello\n", "")


def test_binaries_are_found_in_order(tmp_path):
    """A flag goes before PATH, PATH before the usual folders; a plain file without x does not count."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    (first / "nvidia-imex").write_text("")
    found = a_script(second / "nvidia-imex", "")
    assert located("nvidia-imex", path=f"{first}:{second}", folders=()) == Path(found)
    assert located("nvidia-imex", path="", folders=(str(second),)) == Path(found)
    assert located("nvidia-imex", flag=found, path="") == Path(found)


@pytest.mark.parametrize("flag", ["", "/no/such/nvidia-imex", "plain"])
def test_a_missing_binary_is_named(flag, tmp_path):
    """It says what is missing, where it was looked for, and what to do."""
    if flag == "plain":
        flag = str(tmp_path / flag)
        Path(flag).touch(0o644)
    with pytest.raises(Refused, match=f"IMEX binary.*{flag or tmp_path}") as error:
        located("nvidia-imex", flag=flag, path=str(tmp_path), folders=())
    assert error.value.reason == "ImexBinaryMissing"
