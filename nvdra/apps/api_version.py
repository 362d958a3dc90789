"""Which version of resource.k8s.io to speak, asked at the start of a process: patiently, for a server may be away."""

import asyncio
import logging
from typing import Any, Final

from nvdra.errors import Again

log = logging.getLogger(__name__)
ASK_AGAIN: Final = 2.0


async def resource_version(client: Any, override: str) -> str:
    """Asked until the API server answers: a process that ends while the server is away is started ever more slowly."""
    said = ""
    while True:
        try:
            return str(await client.resource_version_of_api(override))
        except Again as error:
            if str(error) != said:
                said = str(error)
                log.warning("the API server does not answer yet: %s", said)
            await asyncio.sleep(error.after or ASK_AGAIN)
