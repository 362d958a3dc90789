"""The kubelet's side, in a process of its own as a kubelet is: the plugin's answers, and the floor below them.

`calls SOCKET`: a line `call METHOD UID NAMESPACE NAME` on standard input is a call; its milliseconds and error are the
answer. With `begin` in place of `call` nobody waits for it; `cancel` hangs that one up.
`floors KUBECONFIG FOLDER NAMESPACE NAME RUNS`: what the calls cannot do without, as two JSON lists of milliseconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.adapters.kubelet import wire
from nvdra.api.kinds import RESOURCE_CLAIMS

CONTENT = b"x" * 500


def calls(socket: str) -> None:
    """Answer lines until there are no more."""
    begun: list[grpc.Future] = []
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        for line in sys.stdin:
            what, name, uid, namespace, claim = line.split()
            method, request = wire.method(channel, wire.DRA_V1, name), wire.request(wire.DRA_V1, name)
            request.claims.add(uid=uid, namespace=namespace, name=claim)
            if what == "begin":
                begun.append(method.future(request, timeout=45))
                continue
            if what == "cancel":
                begun.pop().cancel()
                continue
            began = time.perf_counter()
            answer = method(request, timeout=45)
            spent = millis_since(began)
            error = next((entry.error for entry in answer.claims.values() if entry.error), "")
            sys.stdout.write(f"{json.dumps([spent, error])}\n")
            sys.stdout.flush()


async def floors(
    kubeconfig: str, folder: Path, namespace: str, name: str, runs: int
) -> tuple[list[float], list[float]]:
    """Of a Prepare: one GET and two synced files. Of an Unprepare: one synced file, and the removal of another."""
    client, files = KubeClient(load(kubeconfig), "bench", qps=10_000, burst=10_000), DiskFiles()
    one, two = folder / "bench-one", folder / "bench-two"
    prepares, releases = [], []
    try:
        for _ in range(runs):
            began = time.perf_counter()
            await client.get(RESOURCE_CLAIMS, name, namespace)
            files.write(one, CONTENT)
            files.write(two, CONTENT)
            prepares.append(millis_since(began))
            began = time.perf_counter()
            files.write(one, CONTENT)
            files.remove(two)
            releases.append(millis_since(began))
    finally:
        await client.close()
    return prepares, releases


def millis_since(began: float) -> float:
    """Milliseconds since a reading of perf_counter."""
    return (time.perf_counter() - began) * 1000


def main(words: Sequence[str]) -> None:
    """One of the two."""
    if words[0] == "calls":
        calls(words[1])
        return
    kubeconfig, folder, namespace, name, runs = words[1:]
    print(json.dumps(asyncio.run(floors(kubeconfig, Path(folder), namespace, name, int(runs)))))


if __name__ == "__main__":
    main(sys.argv[1:])
