"""The driver's programs as instances in the rack's own process: what a container's command would have started."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.client import KubeClient
from nvdra.apps.controller import Controller, ControllerSettings
from nvdra.apps.daemon_probe import Rhythm
from nvdra.apps.daemon_settings import settings_of
from nvdra.apps.daemon_supervision import CONFIGURATION, ImexDaemon, last_words
from nvdra.domains.compute_domain.manifests import DaemonSettings
from nvdra.domains.imex_daemon.files import Paths
from nvdra.errors import ConfigError
from nvdra.sim.imex.network import MemoryNetwork
from nvdra.sim.imex.processes import PretendProcesses
from nvdra.sim.imex.settings import place_of
from nvdra.sim.kube.runtime.running import Say
from nvdra.sim.launchers import InstanceLauncher, node_root_of
from nvdra.sim.nodeplugin import plugin


async def controller(
    argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say, client: KubeClient
) -> int:
    """`nvdra controller`."""
    version = await client.resource_version_of_api()
    daemons = DaemonSettings(resource_version=version, max_nodes=int(env["MAX_NODES_PER_IMEX_DOMAIN"]))
    await Controller(client, settings=ControllerSettings(pod_name=env["POD_NAME"], daemons=daemons)).run()
    return 0


async def kubelet_plugin(
    argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say, client: KubeClient
) -> int:
    """`nvdra kubelet-plugin`."""
    version = await client.resource_version_of_api()
    await plugin(node_root_of(rootfs), env["NODE_NAME"], client, version).run()
    return 0


class Daemons:
    """`nvdra imex-daemon run`, on one network of pretend nvidia-imex instances."""

    def __init__(self, rhythm: Rhythm) -> None:
        self.network = MemoryNetwork()
        self.rhythm = rhythm

    async def run(
        self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say, client: KubeClient
    ) -> int:
        """Until it ends by itself or is told to stop, as SIGTERM would tell it."""
        place = place_of(node_root_of(rootfs), str(rootfs / "etc/hosts"), env["NVDRA_SIM_PERSIST"])
        processes = PretendProcesses(place, self.network)
        try:
            settings = attrs.evolve(settings_of(env), rhythm=self.rhythm)
        except ConfigError as error:  # as `nvdra imex-daemon run` does
            last_words(DiskFiles(), Paths(rootfs), str(error))
            return CONFIGURATION
        daemon = ImexDaemon(settings, client, processes, forward=on_output)
        life = asyncio.ensure_future(daemon.run())
        try:
            return await asyncio.shield(life)
        except asyncio.CancelledError:
            daemon.stop()
            await life
            raise
        finally:
            await processes.stop()


SELDOM = Rhythm(view_first=5.0, view_waiting=20.0, view_ready=120.0)
"""A view of n nodes costs n squared here, and all daemons share this process: they ask for it less often."""


def launcher(kubeconfig: Path, rhythm: Rhythm = SELDOM) -> InstanceLauncher:
    """All of the driver in this process."""
    programs = {"controller": controller, "kubelet-plugin": kubelet_plugin, "imex-daemon": Daemons(rhythm).run}
    return InstanceLauncher(kubeconfig, programs)
