"""The command `nvdra` itself."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata

import pytest
from click.testing import CliRunner

from nvdra import __version__, cli
from nvdra.errors import ConfigError


def nvdra(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nvdra", *words], capture_output=True, text=True, timeout=60)


def test_help_names_every_command():
    """A newcomer sees every command, and what it is for."""
    said = CliRunner().invoke(cli.nvdra, ["--help"]).output

    assert [name for name in cli.COMMANDS if name not in said] == []


def test_version():
    """The version is the package's."""
    assert CliRunner().invoke(cli.nvdra, ["--version"]).output == f"nvdra, version {__version__}\n"


def test_help_imports_nothing_heavy():
    """`nvdra --help` loads no command: not YAML, not asyncio, not a library of the outside world."""
    code = (
        "import sys; sys.argv = ['nvdra', '--help']\n"
        "from nvdra.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(run.stdout.partition("LOADED")[2].split())
    heavy = {
        "asyncio",
        "yaml",
        "kubernetes",
        "grpc",
        "pynvml",
        "aiohttp",
        "msgspec",
        "transitions",
        "nvdra.core.machine",
    }

    assert (run.returncode, loaded & heavy) == (0, set())


def test_an_error_of_ours_is_one_message():
    """What a user got wrong is said on stderr, without a traceback, and the exit code is 1."""
    run = nvdra("statechart", "draw", "/nowhere.yaml")

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("nvdra: /nowhere.yaml: cannot be read")
    assert "Traceback" not in run.stderr


def test_an_unknown_command_is_a_usage_error():
    """Click's own exit code for wrong usage stays."""
    assert nvdra("no-such-command").returncode == 2


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("aiohttp", "sim", "pip install 'nvdra[sim]'"),
        ("grpc", "kubelet-plugin", "pip install 'nvdra'"),
        ("nvdra.sim.cli", "sim", "not part of this version"),
    ],
)
def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, module: str, name: str, said: str):
    """A command whose packages are not installed names what to install."""
    monkeypatch.setattr(cli, "import_module", _lacking(module))

    with pytest.raises(ConfigError, match="not ") as caught:
        cli.nvdra.main([name], standalone_mode=False)

    assert said in str(caught.value)


def test_the_installed_command_is_this_one():
    """Pyproject's entry point leads to main()."""
    entries = metadata.entry_points(group="console_scripts", name="nvdra")

    assert {entry.value for entry in entries} <= {"nvdra.start:main"}


def _lacking(module: str) -> Callable[[str], object]:
    def load(_: str) -> object:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return load
