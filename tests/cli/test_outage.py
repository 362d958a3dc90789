"""A process of the driver that starts while the API server is away."""

import asyncio
import socket

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.apps.api_version import resource_version
from nvdra.sim.apiserver.server import ApiServer, kubeconfig
from nvdra.sim.apiserver.store import ObjectStore


async def test_it_waits_for_the_server(tmp_path, monkeypatch):
    """It does not end: the kubelet would start it ever more slowly, and the outage would outlast itself by minutes."""
    monkeypatch.setattr("nvdra.apps.api_version.ASK_AGAIN", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    (tmp_path / "kubeconfig").write_text(kubeconfig(f"http://127.0.0.1:{port}"))
    client = KubeClient(load(str(tmp_path / "kubeconfig")), "test")
    asked = asyncio.create_task(resource_version(client, ""))
    done, _ = await asyncio.wait([asked], timeout=0.5)
    assert not done
    server = ApiServer(ObjectStore())
    await server.start(port=port)
    try:
        async with asyncio.timeout(20):
            assert await asked == "v1"
    finally:
        await client.close()
        await server.stop()
