"""The statecharts of the package as they were read: the same, or of no account."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nvdra import loader
from nvdra.apps.statecharts import read, read_before, shipped

FILES = sorted(shipped().glob("*.yaml"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture
def copied(tmp_path: Path, file: Path) -> Path:
    shutil.copytree(shipped(), tmp_path, dirs_exist_ok=True)
    return tmp_path / file.name


@every_file
def test_it_is_what_the_yaml_says(file: Path):
    """Every statechart is there as it was read, and equal to the YAML in every part."""
    assert read_before(file).exists()
    assert read(file) == loader.load(file).statechart


@every_file
def test_a_changed_yaml_counts(copied: Path):
    """Whoever edits the YAML and nothing else gets what he wrote."""
    copied.write_text(copied.read_text().replace("about: ", "about: Changed. ", 1))

    assert read(copied).about.startswith("Changed. ")


@every_file
@pytest.mark.parametrize("content", ["", "{", '{"checksum": 1}', "[]", "\xff"])
def test_what_cannot_be_read_counts_for_nothing(copied: Path, content: str):
    """A file that is broken or cut short is as good as none."""
    read_before(copied).write_text(content)

    assert read(copied) == loader.load(copied).statechart


def test_no_yaml_reader_is_loaded():
    """That is what it is for: the processes of the driver run our statecharts without one."""
    names = [file.stem for file in FILES]
    code = f"import sys\nfrom nvdra.apps.statecharts import interpreter\nfor name in {names}: interpreter(name)\n"

    done = subprocess.run([sys.executable, "-c", f"{code}print('yaml' in sys.modules)"], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("False\n", "")
