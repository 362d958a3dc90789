"""One process of the driver on a rack: `python -m nvdra.sim.process kubelet-plugin` and so on."""

import os
import sys
from pathlib import Path

from nvdra.sim.kill import VARIABLE, arm


def main() -> None:
    """Run the command that a container of the rack asks for."""
    if kill_at := os.environ.get(VARIABLE):
        arm(Path(kill_at))
    command = sys.argv[1:]
    if command[:1] == ["kubelet-plugin"]:
        _kubelet_plugin()
    else:
        from nvdra.start import main as start

        start()


def _kubelet_plugin() -> None:
    from nvdra.adapters import logs
    from nvdra.adapters.kube.client import KubeClient
    from nvdra.adapters.kube.config import load
    from nvdra.adapters.metrics import Metrics
    from nvdra.apps.commands import run
    from nvdra.sim.nodeplugin import plugin

    logs.set_up(os.environ.get("LOG_LEVEL", "info"))

    async def serve() -> None:
        metrics = Metrics()
        client = KubeClient(load(), "kubelet-plugin", observe=metrics.requested)
        try:
            version = await client.resource_version_of_api()
            await plugin(
                Path(os.environ["NVDRA_SIM_NODE_ROOT"]), os.environ["NODE_NAME"], client, version, metrics
            ).run()
        finally:
            await client.close()

    run(serve)


if __name__ == "__main__":
    main()
