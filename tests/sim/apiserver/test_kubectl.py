"""The real kubectl against the server: what users type, and what they are shown."""

import asyncio
import json
import os
from pathlib import Path

import pytest
import yaml

from nvdra.sim.apiserver.server import kubeconfig
from tests import tools

CRDS = Path(__file__).parents[3] / "chart" / "crds"


@pytest.fixture
async def kubectl(api, tmp_path):
    """Gives what kubectl printed; it must succeed unless `fails`."""
    program = tools.kubectl()
    if program is None:
        pytest.skip("no kubectl here, and none could be fetched; set NVDRA_KUBECTL")
    config = tmp_path / "config"
    config.write_text(kubeconfig(api.url))

    async def run(line, stdin=None, *, fails=False, seconds=20):
        words = line if isinstance(line, list) else line.split()
        environment = {"KUBECONFIG": str(config), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        text = (json.dumps(stdin) if isinstance(stdin, dict) else stdin or "").encode()
        process = await asyncio.create_subprocess_exec(
            str(program), f"--cache-dir={tmp_path}/cache", *words, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(text), seconds)
        assert (process.returncode != 0) == fails, f"kubectl {line}: {out.decode()}{err.decode()}"
        return err.decode() if fails else out.decode()

    return run


def pod(pod_spec, **labels):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": labels or {"l": "1"}},
        "spec": pod_spec("n1"),
    }


async def test_apply_twice_then_change(kubectl, pod_spec):
    """Validation needs no flag; client-side and server-side apply both work."""
    manifest = pod(pod_spec)
    assert await kubectl("apply -f -", manifest) == "pod/p created\n"
    assert await kubectl("apply -f -", manifest) == "pod/p unchanged\n"
    assert await kubectl("apply -f -", pod(pod_spec, l="2")) == "pod/p configured\n"
    assert await kubectl("apply --server-side -f -", pod(pod_spec, l="3")) == "pod/p serverside-applied\n"
    assert "l=3" in await kubectl("get pods --show-labels")
    bad = await kubectl("apply -f -", {**manifest, "spec": {**manifest["spec"], "nodNmae": "x"}}, fails=True)
    assert 'unknown field "spec.nodNmae"' in bad


async def test_the_other_verbs(kubectl, pod_spec):
    """create, label, annotate, patch, wait, describe, delete."""
    assert await kubectl("create namespace extra") == "namespace/extra created\n"
    assert await kubectl("create configmap c --from-literal=a=b") == "configmap/c created\n"
    await kubectl("create -f -", pod(pod_spec))
    await kubectl("label pod p a=b")
    await kubectl("annotate pod p c=d")
    await kubectl(
        [
            "patch",
            "pod",
            "p",
            "--subresource=status",
            "--type=merge",
            "-p",
            '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}',
        ]
    )
    assert "condition met" in await kubectl("wait --for=condition=Ready pod/p --timeout=10s")
    row = (await kubectl("get pods -l a=b --field-selector spec.nodeName=n1 -o wide")).splitlines()[1].split()
    assert (row[0], row[2], row[6]) == ("p", "Running", "n1")
    described = await kubectl("describe pod p")
    assert "Annotations:      c: d" in described
    assert json.loads(await kubectl("get pod p -o json"))["metadata"]["labels"] == {"l": "1", "a": "b"}
    await kubectl("delete pod p --force --grace-period=0")
    await kubectl("delete namespace extra")
    assert "NotFound" in await kubectl("get pod p", fails=True)


async def test_our_own_kinds(kubectl, domain):
    """CRDs are applied, then used: columns, explain, describe, immutability."""
    for file in sorted(CRDS.glob("*.yaml")):
        await kubectl(["apply", "-f", str(file)])
    await kubectl("wait --for=condition=established crd/computedomains.resource.nvidia.com --timeout=10s")
    await kubectl("apply -f -", yaml.safe_dump(domain(numNodes=2)))
    ready = {"type": "Ready", "status": "False", "reason": "Waiting", "message": "waiting for node b"}
    status = {"status": {"status": "NotReady", "nodesReady": "1/2", "imexDomainCount": 1, "conditions": [ready]}}
    await kubectl(["patch", "computedomain", "cd", "--subresource=status", "--type=merge", "-p", json.dumps(status)])
    shown = await kubectl("get computedomain -o wide")
    assert shown.splitlines()[0].split() == ["NAME", "STATUS", "NODES", "IMEX", "DOMAINS", "MESSAGE", "AGE"]
    assert shown.splitlines()[1].split()[:7] == ["cd", "NotReady", "1/2", "1", "waiting", "for", "node"]
    assert "FIELD: numNodes <integer>" in await kubectl("explain computedomain.spec.numNodes")
    assert "waiting for node b" in await kubectl("describe computedomain cd")
    refused = await kubectl(
        ["patch", "computedomain", "cd", "--type=merge", "-p", '{"spec":{"numNodes":3}}'], fails=True
    )
    assert "A computeDomain.spec is immutable" in refused


async def test_logs_and_events(api, kubectl, pod_spec):
    """Logs by name, by label, with a tail; describe lists the pod's Events."""

    async def logs(namespace, name, container, previous, follow):
        yield b"one\ntwo\n"

    api.set_log_provider(logs)
    await kubectl("create -f -", pod(pod_spec))
    assert await kubectl("logs p") == "one\ntwo\n"
    assert await kubectl("logs p --tail=1") == "two\n"
    assert await kubectl("logs -l l=1 --tail=-1") == "one\ntwo\n"
    uid = json.loads(await kubectl("get pod p -o json"))["metadata"]["uid"]
    about = {"kind": "Pod", "namespace": "default", "name": "p", "uid": uid, "apiVersion": "v1"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": about, "reason": "Waiting",
             "message": "waiting for node b", "type": "Warning", "source": {"component": "t"}}  # fmt: skip
    await kubectl("create -f -", event)
    assert "waiting for node b" in await kubectl("describe pod p")
    assert "pod/p" in await kubectl("get events")


async def test_exec_runs_a_command_and_tells_its_exit_code(api, kubectl, pod_spec):
    """What it prints comes as it is; a code other than 0 is kubectl's own; stdin is refused, not ignored."""
    asked = []

    async def execute(namespace, name, container, argv, say):
        asked.append((namespace, name, container, *argv))
        say("one")
        say("two")
        return 0 if argv[0] == "good" else 7

    api.set_exec_provider(execute)
    await kubectl("create -f -", pod(pod_spec))
    assert await kubectl("exec p -- good -c thing") == "one\ntwo\n"
    assert asked == [("default", "p", pod_spec("n1")["containers"][0]["name"], "good", "-c", "thing")]
    assert "command terminated with exit code 7" in await kubectl("exec p -- bad", fails=True)
    assert "exec with stdin" in await kubectl("exec -i p -- good", "told", fails=True)


async def test_get_watch(kubectl, api, pod_spec):
    """`get -w` prints a line for what is there and for what comes, and ends with its time."""
    await kubectl("create -f -", pod(pod_spec))
    task = asyncio.create_task(kubectl("get pods -w --request-timeout=2s"))
    async with asyncio.timeout(10):
        while not list(api.store.hub.everybody()):
            await asyncio.sleep(0.02)
    api.store.patch(api.store.ref("", "v1", "pods", "default", "p"), "merge", {"metadata": {"labels": {"x": "y"}}})
    assert [line.split()[0] for line in (await task).splitlines()] == ["NAME", "p", "p"]
