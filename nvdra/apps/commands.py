"""The driver's commands: flags and environment (names as the Go driver's) to settings, settings to a running app."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path, PurePosixPath
from typing import Any

import click

from nvdra.adapters import logs
from nvdra.api import names
from nvdra.apps.api_version import resource_version
from nvdra.errors import ConfigError


def option(flag: str, env: str, default: Any, text: str, **more: Any) -> Callable[[Any], Any]:
    """A flag that shows its default and its environment variable."""
    return click.option(flag, envvar=env, default=default, show_default=True, show_envvar=True, help=text, **more)


def common(qps: float, burst: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Flags that every process has."""
    flags = (
        option("--kubeconfig", "KUBECONFIG", "", "Kubeconfig file; empty: in the cluster."),
        option("--kube-api-qps", "KUBE_API_QPS", qps, "Requests a second to the API server."),
        option("--kube-api-burst", "KUBE_API_BURST", burst, "Requests at once to the API server."),
        option("--namespace", "NAMESPACE", names.DRIVER_NAMESPACE, "The driver's own namespace."),
        option("--http-endpoint", "HTTP_ENDPOINT", "", "Address of metrics and health, such as :8080; empty: none."),
        option("--metrics-path", "METRICS_PATH", "/metrics", "Where metrics are."),
        option("--resource-api-version", "RESOURCE_API_VERSION", "", "Version of resource.k8s.io; empty: the newest."),
        option("--statecharts", "STATECHARTS", "", "Folder with statecharts that replace ours."),
        option("--log-level", "LOG_LEVEL", "info", "debug, info, warning or error."),
        option("--log-format", "LOG_FORMAT", "text", "text or json."),
    )

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        for flag in flags:
            command = flag(command)
        return command

    return added


def endpoint(text: str) -> tuple[str, int | None]:
    """`:8080`, `0.0.0.0:8080` or `[::]:8080` as host and port; empty is no port."""
    if not text:
        return "", None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f"--http-endpoint {text!r} is not like :8080 or 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run until done or told to stop by SIGTERM, SIGINT, SIGHUP or SIGQUIT; then everything is stopped cleanly."""

    async def guarded() -> None:
        task = asyncio.ensure_future(main())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

    asyncio.run(guarded())


async def _client(options: dict[str, Any], component: str, observe: Callable[..., None], kept: int = 4) -> Any:
    from nvdra.adapters.http.client import Limits
    from nvdra.adapters.kube.client import KubeClient
    from nvdra.adapters.kube.config import load

    pace = options["kube_api_qps"], options["kube_api_burst"]
    return KubeClient(load(options["kubeconfig"]), component, *pace, observe, limits=Limits(kept=kept))


@click.command()
@common(qps=500.0, burst=1000)  # there is one of it; the API server paces it, for few of its requests are under way
@option("--pod-name", "POD_NAME", "nvdra-controller", "This pod.")
@option("--image-name", "IMAGE_NAME", "nvdra", "Image of the IMEX daemons.")
@option("--image-pull-policy", "IMAGE_PULL_POLICY", "IfNotPresent", "Their pull policy.")
@option("--cd-daemon-image-pull-secret-names", "CD_DAEMON_IMAGE_PULL_SECRET_NAMES", "", "Their pull secrets, by comma.")
@option("--cd-daemon-priority-class", "CD_DAEMON_PRIORITY_CLASS", "", "Their priority class.")
@option("--cd-daemon-resource-requests", "CD_DAEMON_RESOURCE_REQUESTS", "cpu=10m,memory=64Mi", "Their requests.")
@option("--network-policies/--no-network-policies", "NETWORK_POLICIES", True, "Make one for each ComputeDomain.")
@option("--cd-daemon-log-level", "LOG_LEVEL_CD_DAEMON", "info", "Their log level.")
@option("--max-nodes-per-imex-domain", "MAX_NODES_PER_IMEX_DOMAIN", names.MAX_NODES_PER_IMEX_DOMAIN, "Nodes a clique.")
@option("--leader-election-enabled/--no-leader-election", "LEADER_ELECTION_ENABLED", False, "Elect a leader.")
@option(
    "--leader-election-lease-lock-name", "LEADER_ELECTION_LEASE_LOCK_NAME", "nvidia-compute-domain-controller", "Lease."
)
@option("--leader-election-lease-duration", "LEADER_ELECTION_LEASE_DURATION", 15, "Seconds a lease lasts.")
@option("--leader-election-renew-deadline", "LEADER_ELECTION_RENEW_DEADLINE", 10.0, "Seconds to renew it.")
@option("--leader-election-retry-period", "LEADER_ELECTION_RETRY_PERIOD", 2.0, "Seconds between tries.")
def controller(**options: Any) -> None:
    """Watch ComputeDomains and keep what they need."""
    logs.set_up(options["log_level"], as_json=options["log_format"] == "json")
    run(lambda: _controller(options))


async def _controller(options: dict[str, Any]) -> None:
    from nvdra.adapters.kube.election import Terms
    from nvdra.adapters.metrics import Metrics
    from nvdra.apps.controller import Controller, ControllerSettings
    from nvdra.domains.compute_domain.manifests import DaemonSettings

    metrics = Metrics()
    host, port = endpoint(options["http_endpoint"])
    client = await _client(options, "controller", metrics.requested, kept=16)  # there is one of it, not one a node
    lease_client = await _client(options, "controller", metrics.requested)
    try:
        daemons = DaemonSettings(
            namespace=options["namespace"],
            image=options["image_name"],
            image_pull_policy=options["image_pull_policy"],
            image_pull_secrets=_listed(options["cd_daemon_image_pull_secret_names"]),
            priority_class=options["cd_daemon_priority_class"],
            requests=_requests(options["cd_daemon_resource_requests"]),
            max_nodes=options["max_nodes_per_imex_domain"],
            log_level=options["cd_daemon_log_level"],
            network_policy=options["network_policies"],
            resource_version=await resource_version(client, options["resource_api_version"]),
        )
        settings = ControllerSettings(
            pod_name=options["pod_name"],
            daemons=daemons,
            elect=options["leader_election_enabled"],
            terms=Terms(
                options["leader_election_lease_duration"],
                options["leader_election_renew_deadline"],
                options["leader_election_retry_period"],
            ),
            lease_name=options["leader_election_lease_lock_name"],
            http_host=host,
            http_port=port,
            metrics=metrics.routes(options["metrics_path"]),
            statecharts=_folder(options["statecharts"]),
        )
        await Controller(
            client,
            settings,
            metrics,
            lease_cluster=lease_client,
            watch_engine=lambda engine: metrics.watch_queue(engine.queue),
        ).run()
    finally:
        await client.close()


@click.command("kubelet-plugin")
@common(qps=50.0, burst=100)
@option("--node-name", "NODE_NAME", None, "This node.", required=True)
@option("--cdi-root", "CDI_ROOT", "/var/run/cdi", "Folder of CDI files.")
@option("--nvidia-driver-root", "NVIDIA_DRIVER_ROOT", "/", "Driver root on the host.")
@option("--container-driver-root", "DRIVER_ROOT_CTR_PATH", "/driver-root", "The same folder as seen here.")
@option("--dev-root", "DEV_ROOT", "/", "Where the host's /dev is below.")
@option(
    "--kubelet-registrar-directory-path",
    "KUBELET_REGISTRAR_DIRECTORY_PATH",
    "/var/lib/kubelet/plugins_registry",
    "Sockets.",
)
@option(
    "--kubelet-plugins-directory-path", "KUBELET_PLUGINS_DIRECTORY_PATH", "/var/lib/kubelet/plugins", "Plugins' folder."
)
@option(
    "--kubelet-plugins-directory-on-host",
    "KUBELET_PLUGINS_DIRECTORY_ON_HOST",
    "",
    "The same on the host; empty: equal.",
)
@option("--healthcheck-port", "HEALTHCHECK_PORT", -1, "Port of grpc.health.v1; -1: none, 0: any.")
@option("--prepare-hold", "PREPARE_HOLD", 5.0, "Seconds that a call of the kubelet may wait.")
@option("--probe-interval", "PROBE_INTERVAL", 5.0, "Seconds between two looks at the hardware.")
@option("--alt-proc-devices-path", "ALT_PROC_DEVICES_PATH", "", "File in place of /proc/devices.")
@option(
    "--gpu-clique-label-enabled/--no-gpu-clique-label",
    "GPU_CLIQUE_LABEL_ENABLED",
    False,
    "Set the node's nvidia.com/gpu.clique, as GPU Feature Discovery would.",
)
def kubelet_plugin(**options: Any) -> None:
    """Serve this node's channels and IMEX daemons to its kubelet."""
    logs.set_up(options["log_level"], as_json=options["log_format"] == "json")
    run(lambda: _kubelet_plugin(options))


async def _kubelet_plugin(options: dict[str, Any]) -> None:
    from nvdra.adapters.metrics import Metrics
    from nvdra.apps.kubelet_plugin import KubeletPlugin

    metrics = Metrics()
    client = await _client(options, "kubelet-plugin", metrics.requested)
    try:
        version = await resource_version(client, options["resource_api_version"])
        plugin = KubeletPlugin(
            plugin_settings(options, version, metrics.routes(options["metrics_path"])),
            client,
            _hardware(options),
            metrics,
            metrics.called,
            watch_engine=lambda engine: metrics.watch_queue(engine.queue),
        )
        await plugin.run()
    finally:
        await client.close()


def plugin_settings(options: dict[str, Any], version: str, routes: Any) -> Any:
    """The flags of `nvdra kubelet-plugin` as settings."""
    from nvdra.adapters.bootid import read_boot_id
    from nvdra.apps.kubelet_plugin import PluginSettings

    host, port = endpoint(options["http_endpoint"])
    plugins = Path(options["kubelet_plugins_directory_path"])
    return PluginSettings(
        node_name=options["node_name"],
        plugins=plugins,
        plugins_on_host=Path(options["kubelet_plugins_directory_on_host"] or plugins),
        registry=Path(options["kubelet_registrar_directory_path"]),
        cdi=Path(options["cdi_root"]),
        namespace=options["namespace"],
        hold=options["prepare_hold"],
        probe_every=options["probe_interval"],
        boot_id=read_boot_id(),
        resource_version=version,
        health_address=f"0.0.0.0:{options['healthcheck_port']}" if options["healthcheck_port"] >= 0 else "",
        http_host=host,
        http_port=port,
        routes=routes,
        statecharts=_folder(options["statecharts"]),
        label_clique=options["gpu_clique_label_enabled"],
    )


def _hardware(options: dict[str, Any]) -> Any:
    from nvdra.adapters.devnodes import DiskDeviceNodes
    from nvdra.adapters.driver_root import DriverRoot, daemon_edits
    from nvdra.adapters.nvml import NvmlLibrary
    from nvdra.adapters.procfs import ProcFiles
    from nvdra.apps.kubelet_plugin import Hardware

    root = DriverRoot(Path(options["container_driver_root"]), PurePosixPath(options["nvidia_driver_root"]))
    alternative = options["alt_proc_devices_path"]
    # beside a stand-in for /proc/devices, the driver's own /proc files are a stand-in's too (reference-driver.md §5.5)
    proc = ProcFiles(Path(alternative), root.seen / "proc/driver/nvidia") if alternative else ProcFiles()
    nodes = DiskDeviceNodes(Path(options["dev_root"]))
    return Hardware(NvmlLibrary(root), proc, nodes, lambda: daemon_edits(root))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _requests(text: str) -> dict[str, str]:
    """`cpu=10m,memory=64Mi` as resource requests."""
    pairs = [part.partition("=") for part in _listed(text)]
    if not all(name and amount for name, _, amount in pairs):
        raise ConfigError(f"--cd-daemon-resource-requests {text!r} is not like cpu=10m,memory=64Mi")
    return {name.strip(): amount.strip() for name, _, amount in pairs}


def _folder(text: str) -> Path | None:
    """The folder of a user's statecharts. All are checked before anything starts: a standby would else seem fine."""
    if not text:
        return None
    from nvdra.apps.statecharts import refuse_faulty

    if not Path(text).is_dir():
        raise ConfigError(f"--statecharts {text}: no such folder")
    refuse_faulty(Path(text))
    return Path(text)


@click.group("imex-daemon")
def imex_daemon() -> None:
    """Run nvidia-imex for one ComputeDomain on one node; told everything by its environment."""


@imex_daemon.command("run")
def imex_daemon_run() -> None:
    """Supervise nvidia-imex until told to stop."""
    from nvdra.apps.daemon import run_daemon

    raise SystemExit(run_daemon(dict(os.environ)))


@imex_daemon.command("check")
def imex_daemon_check() -> None:
    """Exit 0 and say nothing when this node's IMEX daemon is ready; say why not otherwise."""
    from nvdra.apps.daemon import check

    raise SystemExit(check(dict(os.environ)))
