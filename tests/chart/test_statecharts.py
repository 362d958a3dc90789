"""A statechart of a user's own: a good one runs, a faulty one never starts and says every fault."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from nvdra.apps.statecharts import interpreter, refuse_faulty, shipped
from nvdra.errors import StatechartError
from nvdra.sim.apiserver.server import ApiServer, kubeconfig

GOOD = (shipped() / "compute-domain.yaml").read_text()
BAD = GOOD.replace("to: Serving", "to: Nowhere", 1).replace("present: [finalizer]", "present: [finaliser]", 1)


def test_a_good_one_takes_ours_place(tmp_path: Path):
    """A changed time of an announcement is in the statechart that runs; those that are not given stay ours."""
    (tmp_path / "compute-domain.yaml").write_text(GOOD.replace("5m: ProvisioningSlow", "1m: ProvisioningSlow"))

    refuse_faulty(tmp_path)

    leaves = interpreter("compute-domain", tmp_path).table.leaves.values()
    assert [leaf.after for leaf in leaves if "ProvisioningSlow" in leaf.after.values()] == [{60.0: "ProvisioningSlow"}]


@pytest.mark.parametrize("file", sorted(shipped().glob("*.yaml")), ids=lambda file: file.stem)
def test_ours_may_take_their_own_place(tmp_path: Path, file: Path):
    """A copy of each of ours, where a user begins, is no fault."""
    (tmp_path / file.name).write_text(file.read_text())

    refuse_faulty(tmp_path)


@pytest.mark.parametrize(("name", "text", "said"), [
    ("compute-domain", BAD, "no state is called 'Nowhere'"),
    ("compute-domain", GOOD.replace("present: [finalizer]", "present: [finaliser]", 1), "finaliser"),
    ("compute-domian", GOOD, "replaces nothing"),
    ("imex-domain", GOOD, "is called 'compute-domain' but the file 'imex-domain'"),
])  # fmt: skip
def test_a_faulty_one_is_refused(tmp_path: Path, name: str, text: str, said: str):
    """Form, laws, things that nvdra does not have, a name that is not ours: each is named."""
    (tmp_path / f"{name}.yaml").write_text(text)

    with pytest.raises(StatechartError, match=said) as refused:
        refuse_faulty(tmp_path)

    assert str(tmp_path / f"{name}.yaml") in str(refused.value)


@pytest.mark.parametrize("command", ["controller", "kubelet-plugin"])
async def test_a_process_with_a_faulty_one_does_not_start(tmp_path: Path, command: str):
    """It ends with 1 and the fault's line, before it is ready: an older process is not replaced by it."""
    folder = tmp_path / "statecharts"
    folder.mkdir()
    (folder / "compute-domain.yaml").write_text(BAD)
    async with ApiServer() as api:
        (tmp_path / "config").write_text(kubeconfig(api.url))
        environ = {
            **os.environ,
            "KUBECONFIG": str(tmp_path / "config"),
            "STATECHARTS": str(folder),
            "NODE_NAME": "n",
            "LEADER_ELECTION_ENABLED": "true",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nvdra", command, env=environ, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            _, said = await process.communicate()

    assert process.returncode == 1
    assert f"{folder}/compute-domain.yaml:" in said.decode()
    assert "Traceback" not in said.decode()
