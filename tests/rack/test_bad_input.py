"""What is wrong gets a clear, named error, and loses nothing."""

import asyncio
import os
import shutil
import sys
import time
import uuid
from pathlib import Path

import pytest

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.sim.kube.kinds import CLAIMS, PODS
from tests.rack.rig import DOMAINS, OWN

NAMESPACES = Kind(dict, "Namespace", "namespaces", namespaced=False)
STATECHARTS = Path(__file__).parents[2] / "statecharts"


def config(uid, kind="ComputeDomainChannelConfig", **more):
    """Parameters of a claim."""
    return {"apiVersion": "resource.nvidia.com/v1beta1", "kind": kind, "domainID": uid, **more}


@pytest.fixture
async def rig(raised):
    """One node and a domain."""
    rig = await raised(1)
    await rig.create_domain()
    return rig


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"kind": "GpuConfig"}, "resource.nvidia.com/v1beta1, kind GpuConfig is not known here; known:"),
        (
            {"apiVersion": "resource.nvidia.com/v9"},
            "resource.nvidia.com/v9, kind ComputeDomainChannelConfig is not known",
        ),
        ({"allocationMode": "Some"}, "allocationMode 'Some' is neither Single nor All"),
        ({"domainID": "../../etc"}, "domainID '../../etc' is not the uid of a ComputeDomain"),
        ({"domainID": 7}, "invalid value for type, expected str @ ComputeDomainChannelConfig.domainID"),
    ],
)
async def test_a_faulty_device_config_is_named_on_the_pod(rig, change, words):
    """Unknown fields and kinds, and values that cannot be: an Event with the place, and nothing on the node."""
    uid = (await rig.domain())["metadata"]["uid"]
    await rig.create_claim("bad", {**config(uid), **change})
    await rig.create_worker("a", "node-1", claim="bad")
    said = await rig.said("a", words, "FailedPrepareDynamicResources")
    assert "ResourceClaim default/bad: status.allocation.devices.config[0].opaque.parameters" in said["message"]
    assert await rig.label("node-1") == ""
    assert rig.left() == []


async def test_a_domain_that_is_gone_is_named_on_the_pod(rig):
    """No ComputeDomain has that uid: the worker is told, and its node stays free."""
    ghost = str(uuid.uuid4())
    await rig.create_claim("ghost", config(ghost))
    await rig.create_worker("a", "node-1", claim="ghost")
    await rig.said("a", f"no ComputeDomain with uid {ghost} in namespace default: it is gone, or belongs to another")
    assert await rig.label("node-1") == ""
    await rig.delete_all()
    await rig.clean()


async def test_a_domain_of_another_namespace_is_refused(rig):
    """A workload uses a ComputeDomain of its own namespace; the domain itself is untouched."""
    uid = (await rig.domain())["metadata"]["uid"]
    await rig.rack.cluster.create(NAMESPACES, {"metadata": {"name": "other"}})
    await rig.create_claim("theirs", config(uid), namespace="other")
    await rig.create_worker("thief", "node-1", claim="theirs", namespace="other")
    await rig.said("thief", f"no ComputeDomain with uid {uid} in namespace other")
    assert await rig.label("node-1") == ""
    await rig.create_worker("a", "node-1")
    await rig.delete(PODS, "thief", namespace="other")
    await rig.delete(CLAIMS, "theirs", namespace="other")
    await rig.running("a")


async def test_an_imex_daemons_device_is_for_the_drivers_own_pods(rig):
    """A user's claim for daemon-0 is refused outside of the driver's namespace."""
    uid = (await rig.domain())["metadata"]["uid"]
    await rig.create_claim("mine", config(uid, "ComputeDomainDaemonConfig"), device="daemon")
    await rig.create_worker("a", "node-1", claim="mine")
    await rig.said("a", f"only pods of namespace {OWN} may have one", "FailedPrepareDynamicResources")
    assert rig.left() == []


async def test_a_config_of_the_wrong_kind_for_its_device_is_refused(rig):
    """A daemon's config on a channel."""
    uid = (await rig.domain())["metadata"]["uid"]
    await rig.create_claim("mixed", config(uid, "ComputeDomainDaemonConfig"))
    await rig.create_worker("a", "node-1", claim="mixed")
    await rig.said("a", "a ComputeDomainDaemonConfig cannot be applied to device channel-0")


async def test_a_wrong_driver_root_is_named(rig):
    """Nothing of a driver below the driver root: the daemon's pod, the waiting worker and the condition say so."""
    shutil.rmtree(rig.root() / "driver/usr")
    await rig.create_worker("a", "node-1")
    daemon = (await rig.until("a daemon pod", rig.daemons))[0]["metadata"]["name"]
    said = await rig.said(daemon, "driver root /driver")
    assert "correct nvidiaDriverRoot" in said["message"]
    await rig.said("a", "driver root /driver", limit=12)

    async def told():
        return "driver root /driver" in (await rig.condition("Ready")).get("message", "")

    await rig.until("the condition says so", told, 12)
    assert not await rig.runs("a")()


async def test_a_driver_without_imex_channels_is_named(rig):
    """No major number for channels: the worker's Event says which driver option is missing."""
    devices = rig.root() / "driver/proc/devices"
    devices.write_text(devices.read_text().replace("nvidia-caps-imex-channels", "something-else"))
    await rig.until("the plugin has looked", lambda: _looked(rig))
    await rig.create_worker("a", "node-1")
    await rig.said("a", "node-1 has no IMEX channels")
    await rig.said("a", "NVreg_CreateImexChannel0")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"numNodes": -1}, "numNodes"),
        ({"channel": {"resourceClaimTemplate": {"name": "Not_A_Name"}}}, "name"),
        ({"numNodes": 1, "colour": "red", "channel": None}, "channel"),
    ],
)
async def test_a_computedomain_that_cannot_be_is_refused_by_its_schema(rig, spec, words):
    """At once, by the API server, with the field's name."""
    whole = {"channel": {"resourceClaimTemplate": {"name": "ok"}}, **spec}
    body = {"apiVersion": DOMAINS.api_version, "kind": "ComputeDomain", "metadata": {"name": "bad"}, "spec": whole}
    with pytest.raises(Exception, match=words):
        await rig.rack.cluster.create(DOMAINS, body, "default")


async def _run(rig, *words, **environment):
    """A process of the driver on this rack; exit code and what it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nvdra", *words,
        env={**os.environ, "KUBECONFIG": str(rig.rack.kubeconfig), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 20)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"it did not end: {out.decode()}{err.decode()}") from None
    return process.returncode, err.decode()


@pytest.mark.rack
async def test_a_socket_path_that_is_too_long_ends_the_plugin_with_the_flag_to_change(rig, tmp_path):
    """Exit code 1, the path, its length, the limit, and which flag shortens it."""
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    code, said = await _run(
        rig, "kubelet-plugin", "--node-name", "node-1", "--kubelet-plugins-directory-path", str(deep)
    )
    assert code == 1
    assert "and the kernel allows 107: shorten --kubelet-plugins-directory-path" in said


@pytest.mark.rack
async def test_a_second_plugin_on_a_node_ends_and_names_the_first(rig):
    """It touches nothing, also not what looks left over, which the first may be just about to use; that goes on."""
    kubelet = rig.root() / "var/lib/kubelet"
    record, folder = rig.plugin_folder() / "claims/half.json", rig.plugin_folder() / "domains/just-made"
    folder.mkdir(parents=True)
    record.parent.mkdir(exist_ok=True)
    record.write_text("{")
    code, said = await _run(
        rig, "kubelet-plugin", "--node-name", "node-1", "--cdi-root", str(rig.root() / "var/run/cdi"),
        "--kubelet-plugins-directory-path", str(kubelet / "plugins"),
        "--kubelet-registrar-directory-path", str(kubelet / "plugins_registry"),
    )  # fmt: skip
    assert code == 1
    assert f"another instance of {names.CD_DRIVER} is serving" in said
    assert (record.exists(), folder.exists()) == (True, True)
    record.unlink()
    folder.rmdir()
    await rig.create_worker("a", "node-1")
    await rig.running("a")


@pytest.mark.rack
@pytest.mark.parametrize("command", ["controller", "kubelet-plugin"])
async def test_a_faulty_statechart_ends_the_process_with_file_and_line(rig, tmp_path, command):
    """Every fault at once with its address, exit code 1, before anything is done."""
    folder = tmp_path / "statecharts"
    shutil.copytree(STATECHARTS, folder)
    chart = "compute-domain" if command == "controller" else "channel-claim"
    text = (folder / f"{chart}.yaml").read_text()
    (folder / f"{chart}.yaml").write_text(text.replace("initial: ", "initail: ", 1))
    number = next(i for i, line in enumerate(text.splitlines(), 1) if line.startswith("initial: "))
    below = [
        f"--{flag}={tmp_path / flag}"
        for flag in ("cdi-root", "kubelet-plugins-directory-path", "kubelet-registrar-directory-path")
    ]
    place = ["--node-name", "node-9", *below] if command == "kubelet-plugin" else []
    code, said = await _run(rig, command, "--statecharts", str(folder), *place)
    assert code == 1, said
    assert f"{chart}.yaml:{number}" in said
    assert "initail" in said
    assert "Traceback" not in said


async def _looked(rig):

    since = (rig.root() / "driver/proc/devices").stat().st_mtime
    return time.time() > since + 1
