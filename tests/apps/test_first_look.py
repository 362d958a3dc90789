"""A node whose disk cannot be read when the plugin starts."""

import asyncio

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.files import DiskFiles
from nvdra.api import kinds
from nvdra.api.local import RECORDS
from nvdra.api.records import ClaimRecord
from nvdra.apps.bystanders import Bystanders
from nvdra.apps.first_look import FirstLook
from nvdra.apps.own_node import OwnNode
from nvdra.apps.recovery import Recovery
from nvdra.engine.store import Store
from tests.builders import Little
from tests.nodes import Said
from tests.virtual_time import until, virtually, wall

NODE = "node-1"


async def a_look(folder) -> FirstLook:
    little = await Little.started()
    cluster, said, files = little.client("plugin"), Said(), DiskFiles()
    store = Store(lambda _: None)
    records, cdi = Records(folder, "boot"), CdiFolder(folder / "cdi")
    node = OwnNode(cluster, store, NODE)
    claims = kinds.RESOURCE_CLAIMS
    recovery = Recovery(cluster, store, records, cdi, files, folder / "domains", node, claims, said, wall)
    return FirstLook(recovery, Bystanders(cluster, claims, NODE, said), said)


def test_it_waits_names_the_place_and_goes_on(tmp_path, caplog):
    """Path, cause and way out, once on the node and in the log; once it can be read, its records are known."""
    Records(tmp_path, "boot").put(ClaimRecord("u", "default", "a", "channel", "d", boot_id="boot"))
    folder, hidden = tmp_path / "claims", tmp_path / "hidden"
    folder.rename(hidden)
    folder.symlink_to(folder)  # what even root cannot look into

    @virtually
    async def life():
        look = await a_look(tmp_path)
        task = asyncio.create_task(look.take())
        await asyncio.sleep(300)
        ((name, reason, text),) = look.announcer.notes
        assert (name, reason, task.done()) == (NODE, "NodeDiskUnusable", False)
        assert text.startswith(f"cannot look into {folder}: Too many levels of symbolic links: look at that disk")
        assert [record.getMessage() for record in caplog.records] == [text]
        folder.unlink()
        hidden.rename(folder)
        await until(task.done, limit=20)
        await task
        assert [record.uid for record in look.recovery.store.all(RECORDS)] == ["u"]

    life()


def test_a_disk_that_can_be_read_costs_nothing(tmp_path):
    """No wait, no word."""

    @virtually
    async def life():
        look = await a_look(tmp_path)
        await look.take()
        assert look.announcer.notes == []

    life()
