"""What the tests of the embedded API server share: stores on a clock of their own, and the project's CRDs."""

from pathlib import Path

import pytest
import yaml

from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.server import ApiServer
from nvdra.sim.apiserver.status import StatusError
from nvdra.sim.apiserver.store import ObjectStore

CRDS = Path(__file__).parents[3] / "chart" / "crds"


class Clock:
    """Seconds that move when told to."""

    now = 1_800_000_000.0

    def __call__(self):
        return self.now


class World:
    """A store with short words for what tests do."""

    def __init__(self, **settings):
        self.clock = Clock()
        self.store = ObjectStore(clock=self.clock, **settings)

    def ref(self, path, name=""):
        """`pods` in the namespace default, `apps/daemonsets`, `resource.k8s.io@v1beta1/resourceslices`."""
        group, _, plural = path.rpartition("/")
        plural, _, subresource = plural.partition(":")
        group, _, version = group.partition("@")
        found = self.store.catalog.find(group, plural)
        ref = self.store.ref(group, version or found.versions[0], plural, "default", name)
        return type(ref)(ref.resource, ref.namespace, name, subresource, ref.version)

    def create(self, path, name, how=None, **fields):
        meta = {"name": name, **fields.pop("metadata", {})}
        return self.store.create(self.ref(path), {"metadata": meta, **fields}, how or Writing()).object

    def get(self, path, name):
        return self.store.get(self.ref(path, name)).object

    def names(self, path):
        return [entry.meta["name"] for entry in self.store.list(self.ref(path)).entries]

    def patch(self, path, name, patch, kind="merge", **how):
        return self.store.patch(self.ref(path, name), kind, patch, Writing(**how)).object

    def define(self):
        for file in sorted(CRDS.glob("*.yaml")):
            body = yaml.safe_load(file.read_text())
            self.store.create(
                self.ref("apiextensions.k8s.io/customresourcedefinitions"), body, Writing(validation="Strict")
            )
        return self


@pytest.fixture
def world():
    return World()


@pytest.fixture
def ours():
    """A world that knows our CRDs."""
    return World().define()


@pytest.fixture
def world_with():
    return World


@pytest.fixture
async def api():
    async with ApiServer() as server:
        yield server


def container(name="c", image="i:1", **more):
    return {"name": name, "image": image, **more}


@pytest.fixture
def pod_spec():
    """A pod's spec, on a node at will."""
    return lambda node="", **more: {"containers": [container()], **({"nodeName": node} if node else {}), **more}


def a_domain(name="cd", template="t", **spec):
    return {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "ComputeDomain",
        "metadata": {"name": name},
        "spec": {"channel": {"resourceClaimTemplate": {"name": template}}, **spec},
    }


@pytest.fixture
def domain():
    return a_domain


class Refused:
    """A context that wants a Status of that code and reason."""

    def __init__(self, code, reason=""):
        self.wanted = code, reason

    def __enter__(self):
        return self

    def __exit__(self, kind, error, at):
        assert isinstance(error, StatusError), f"expected {self.wanted}, got {error!r}"
        assert (error.code, error.reason) == (self.wanted[0], self.wanted[1] or error.reason), error.message
        self.error = error
        return True


@pytest.fixture
def refused():
    return Refused
