"""Taking a domain's labels off its nodes: many at a time, for one after another thousands would take minutes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from nvdra.api import kinds
from nvdra.api.membership import leaving_patch
from nvdra.errors import Conflict, NotFound
from nvdra.ports import Cluster

AT_ONCE = 16


async def take_labels(cluster: Cluster, nodes: Sequence[str], uid: str) -> None:
    """Off these nodes, where they are still this domain's. What could not be done is raised after its sixteen."""
    for first in range(0, len(nodes), AT_ONCE):
        taking = (take_label(cluster, node, uid) for node in nodes[first : first + AT_ONCE])
        for trouble in filter(None, await asyncio.gather(*taking, return_exceptions=True)):
            raise trouble


async def take_label(cluster: Cluster, node: str, uid: str) -> None:
    """Off one node."""
    with suppress(Conflict, NotFound):  # another domain's by now, or no node any more: the watch will say so
        await cluster.patch(kinds.NODES, node, leaving_patch(uid), how="json")
