import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.api.fabric import ZERO_UUID, Clique, clique_of, driver_version
from nvdra.node import Fabric, Gpu, NvmlReading

UUID = "5a3f0000-1111-2222-3333-444455556666"
IN = Fabric(state=3, status=0, cluster_uuid=UUID, clique_id=7)
TRAINING = Fabric(state=2, status=0, cluster_uuid=ZERO_UUID, clique_id=0)
NOT_STARTED = Fabric(state=1, status=0, cluster_uuid=ZERO_UUID, clique_id=0)
FAILED = Fabric(state=3, status=999, cluster_uuid=UUID, clique_id=7)
LONE = Fabric(state=3, status=0, cluster_uuid=ZERO_UUID, clique_id=0)
UNSUPPORTED = Fabric(state=0, status=0, cluster_uuid=ZERO_UUID, clique_id=0)
OTHER_CLIQUE = Fabric(state=3, status=0, cluster_uuid=UUID, clique_id=8)

uuids = st.sampled_from([UUID, ZERO_UUID, "99990000-1111-2222-3333-444455556666"])
fabrics = st.none() | st.builds(Fabric, st.integers(0, 4), st.sampled_from([0, 1, 999]), uuids, st.integers(0, 2))

LOOK = "; see Fabric in nvidia-smi -q and the fabric manager on this node"
ONGOING = "; it goes on by itself when the fabric is up; if not, " + LOOK.removeprefix("; ")


def reading(*fabrics: Fabric | None) -> NvmlReading:
    gpus = tuple(Gpu(index=i, uuid=f"GPU-{i}", fabric=fabric) for i, fabric in enumerate(fabrics))
    return NvmlReading(driver_version="570.158.01", gpus=gpus)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (reading(IN, IN), Clique(True, f"{UUID}.7", f"NVML: 2 GPUs in clique {UUID}.7")),
        (reading(None), Clique(True, "", "NVML: 1 GPU in no fabric")),
        (reading(None, LONE, UNSUPPORTED), Clique(True, "", "NVML: 3 GPUs in no fabric")),
        (reading(), Clique(False, "", "NVML shows no GPU on this node")),
        (NvmlReading(error="Driver Not Loaded"), Clique(False, "", "Driver Not Loaded")),
        (reading(IN, TRAINING), Clique(False, "", "GPU 1 (GPU-1): fabric registration is in progress" + ONGOING)),
        (reading(NOT_STARTED), Clique(False, "", "GPU 0 (GPU-0): fabric registration is not started" + ONGOING)),
        (reading(FAILED), Clique(False, "", "GPU 0 (GPU-0): fabric registration failed with NVML status 999" + LOOK)),
        (
            reading(IN, OTHER_CLIQUE),
            Clique(False, "", f"GPUs differ: GPU 0 (GPU-0) is in {UUID}.7, GPU 1 (GPU-1) in {UUID}.8" + LOOK),
        ),
        (
            reading(IN, None),
            Clique(False, "", f"GPUs differ: GPU 0 (GPU-0) is in {UUID}.7, GPU 1 (GPU-1) in no fabric" + LOOK),
        ),
    ],
)
def test_clique_of_a_node(seen: NvmlReading, expected: Clique) -> None:
    """Each kind of answer of NVML has one meaning, and what is not known names the GPU and its state."""
    assert clique_of(seen) == expected


@given(st.lists(fabrics, max_size=5))
def test_known_means_that_every_gpu_says_the_same(seen: list[Fabric | None]) -> None:
    """A clique is known exactly when there are GPUs and each alone gives the same known answer; order does not matter."""
    whole = clique_of(reading(*seen))
    alone = [clique_of(reading(fabric)) for fabric in seen]
    agreed = bool(alone) and all(c.known for c in alone) and len({c.id for c in alone}) == 1

    assert whole.known is agreed
    assert whole.id == (alone[0].id if agreed else "")
    assert whole.because
    assert clique_of(reading(*reversed(seen))).known is agreed


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("570.158.01", (570, 158, 1)),
        ("580.65", (580, 65, 0)),
        (" 575.57.08\n", (575, 57, 8)),
        ("570.158.01-server", (570, 158, 1)),
    ],
)
def test_driver_versions_compare_as_numbers(text: str, version: tuple[int, int, int]) -> None:
    """Zeros in front, a missing last part and a suffix do not matter."""
    assert driver_version(text) == version


@given(st.tuples(*[st.integers(0, 999)] * 3))
def test_any_three_numbers_are_a_version(version: tuple[int, int, int]) -> None:
    """What is written with dots is read back."""
    assert driver_version(".".join(map(str, version))) == version


@pytest.mark.parametrize("text", ["", "570", "a.b.c", "570.158.01.2", "٣.٣"])
def test_what_is_no_version_is_named(text: str) -> None:
    """No number is made up."""
    with pytest.raises(ValueError, match="is not like 570"):
        driver_version(text)
