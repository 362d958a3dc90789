"""The pod's hosts file."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nvdra.domains.imex_daemon.hosts import BEGIN, EMPTY_SLOT, END, rewritten
from nvdra.errors import ConfigError
from nvdra.sim.imex.settings import read_hosts

KUBELET = b"# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.1.0.9\tdaemon-x\n"
NAMES = tuple(f"imex-q-{index:04d}" for index in range(4))
ADDRESSES = st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",), ("fd00::1",), ("10.0.0.3", "fd00::3")])
MAPPINGS = st.fixed_dictionaries(dict.fromkeys(NAMES, ADDRESSES))
FOREIGN = st.lists(
    st.sampled_from([b"", b"# x", b"10.9.9.9 other imex-q-0001", b"10.1.0.9\tdaemon-x", b"garbage", b"1.2.3.4 h # c", b"\xff \xfe"])
    | st.binary(max_size=12).filter(lambda line: b"\n" not in line)
)  # fmt: skip


def _kept(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    return lines[: lines.index(BEGIN)] + lines[lines.index(END) + 1 :]


@given(FOREIGN, MAPPINGS, MAPPINGS)
@example([], dict.fromkeys(NAMES, ()), dict.fromkeys(NAMES, ()))
def test_foreign_lines_stay_and_nothing_grows(foreign, first, second):
    """Whatever stood there before stays in its order; ours is one block that holds the newest mapping only."""
    before = b"\n".join([*foreign, b""])
    once = rewritten(before, first)
    twice = rewritten(once, second)

    assert rewritten(twice, second) == twice
    assert _kept(twice) == _kept(once) == before.split(b"\n")
    assert twice == rewritten(before, second)
    assert (twice.count(BEGIN), twice.count(END)) == (1, 1)


@given(FOREIGN, MAPPINGS, st.integers(0, 400))
def test_a_torn_file_heals(foreign, mapping, length):
    """A write that a crash cut short is made whole by the next one, and twice is as good as once."""
    torn = rewritten(b"\n".join([*foreign, b""]), mapping)[:length]
    healed = rewritten(torn, mapping)
    assert rewritten(healed, mapping) == healed
    assert (healed.count(BEGIN + b"\n"), healed.count(END + b"\n")) == (1, 1)


def test_empty_slots_resolve_locally_in_both_families(tmp_path):
    """A name without a node is found in the file, so that no resolver asks DNS for it."""
    text = rewritten(KUBELET, {NAMES[0]: ("10.0.0.1",), NAMES[1]: ()})
    (tmp_path / "hosts").write_bytes(text)

    assert text.startswith(KUBELET)
    assert [line for line in text.decode().splitlines() if NAMES[1] in line] == [f"{a}\t{NAMES[1]}" for a in EMPTY_SLOT]
    assert read_hosts(tmp_path / "hosts")[NAMES[0]] == ["10.0.0.1"]


def test_dual_stack_names_have_both_addresses():
    """Both addresses of a node are written, in the order given."""
    text = rewritten(b"", {NAMES[0]: ("10.0.0.1", "fd00::1")})
    assert text.split(b"\n")[1:3] == [b"10.0.0.1\timex-q-0000", b"fd00::1\timex-q-0000"]


def test_a_file_without_last_newline_is_kept_readable():
    """Our block does not run into the last foreign line, and a foreign line after it stays."""
    once = rewritten(b"10.1.0.9 daemon-x", {NAMES[0]: ()})
    after = rewritten(once + b"10.7.7.7 late", {NAMES[0]: ("10.0.0.1",)})
    assert once.startswith(b"10.1.0.9 daemon-x\n" + BEGIN)
    assert after.endswith(END + b"\n10.7.7.7 late")


def test_what_is_not_an_address_is_refused():
    """A word that is no address would make a line that means something else."""
    with pytest.raises(ConfigError, match="imex-q-0000"):
        rewritten(b"", {NAMES[0]: ("10.0.0.1 evil",)})


def test_a_torn_block_before_a_whole_one_costs_no_foreign_line():
    """A begin without its end does not reach to the end of a later block."""
    mapping = {NAMES[0]: ("10.0.0.1",), NAMES[1]: ()}
    torn = BEGIN + b"\n10.0.0.1\timex-q-0000\n10.1.0.9\tdaemon-x\n" + rewritten(b"10.8.8.8 other\n", mapping)
    assert rewritten(torn, mapping) == rewritten(b"10.1.0.9\tdaemon-x\n10.8.8.8 other\n", mapping)
