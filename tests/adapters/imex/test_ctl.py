"""What nvidia-imex-ctl prints, and what is made of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.adapters.imex.ctl import ImexCtl
from nvdra.adapters.processes import AsyncProcesses
from nvdra.domains.imex_daemon.views import NO_ANSWER, READY, UNKNOWN, DomainView, domain_view, state_of

WORDS = st.sampled_from(["CONNECTED", "NEVER_CONNECTED", "READY", "status", "nodes", "connections", "0", "1", "C", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def a_view(rows: dict[int, dict[int, str]], status: str = "DEGRADED") -> str:
    """What `-N -j` prints for these rows of connections."""
    nodes = {
        str(i): {
            "status": "READY", "host": f"10.0.0.{i}", "hostName": f"name-{i}", "version": "580", "changed": True,
            "connections": {str(j): {"host": f"10.0.0.{j}", "status": w, "changed": True} for j, w in row.items()},
        }
        for i, row in rows.items()
    }  # fmt: skip
    return json.dumps({"nodes": nodes, "timestamp": "9/4/2026 00:37:39.905", "status": status})


def test_the_real_ones_shape_is_understood():
    """State, version, name and letters of each node are taken from the shape that 580 prints."""
    view = domain_view(a_view({0: {0: "CONNECTED", 1: "NEVER_CONNECTED"}, 1: {0: "INVALID", 1: "SOMETHING_NEW"}}))

    assert view is not None
    assert (view.status, view.nodes[0].host, view.nodes[0].version) == ("DEGRADED", "name-0", "580")
    assert (view.nodes[0].connections, view.nodes[1].connections) == ({0: "C", 1: "N"}, {0: "I", 1: "?"})


def test_only_members_count_as_unconnected():
    """Slots without a node are not missed, oneself is not, and a member that is not in the view is."""
    view = domain_view(a_view({0: {0: "CONNECTED", 1: "CONNECTED", 2: "RECOVERING", 3: "NEVER_CONNECTED"}}))
    assert view is not None
    assert [(node.index, letter) for node, letter in view.unconnected(0, {0, 1, 2, 9})] == [(2, "R"), (9, "?")]


@given(JSON.map(json.dumps) | st.text(max_size=30))
def test_no_output_can_break_the_parser(printed):
    """Whatever is printed is a view or not known."""
    view = domain_view(printed)
    assert view is None or isinstance(view, DomainView)


@given(JSON, st.sampled_from(["status", "nodes", "0", "connections"]))
def test_no_damage_at_any_depth_can_break_the_parser(damage, where):
    """A known shape with anything in one place is a view or not known."""
    told = json.loads(a_view({0: {0: "CONNECTED"}}))
    place = {"status": told, "nodes": told, "0": told["nodes"], "connections": told["nodes"]["0"]}[where]
    place[where] = damage
    view = domain_view(json.dumps(told))
    assert view is None or isinstance(view, DomainView)


@pytest.mark.parametrize(
    "printed", ["", "[]", "{}", '{"status":"UP","nodes":{}}', '{"status":"UP","nodes":{"a":{}}}', "[" * 99999]
)
def test_other_shapes_are_not_known(printed):
    """Nothing is guessed from a shape that is not the known one."""
    assert domain_view(printed) is None


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("READY\n", READY),
        ("READY\nwarning: x\n", UNKNOWN),
        (" READY\n", UNKNOWN),
        ("WAITING_FOR_RECOVERY\n", "WAITING_FOR_RECOVERY"),
        ("Connection refused\n", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_only_exactly_ready_is_ready(printed, state):
    """Readiness is one word and a newline, as the Go driver demands; another state is passed on by its word."""
    assert state_of(printed) == state


def _tool(folder: Path, body: str) -> Path:
    path = folder / "nvidia-imex-ctl"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


async def test_a_tool_that_hangs_is_no_answer(tmp_path):
    """The tool is killed after its limit and both questions say that nothing is known."""
    ctl = ImexCtl(AsyncProcesses(), Path("c"), _tool(tmp_path, "exec sleep 60"), limits=(0.1, 0.1))
    assert (await ctl.state(), await ctl.domain()) == (NO_ANSWER, None)


async def test_the_tool_is_asked_with_the_config_file(tmp_path):
    """The command line is the one of the Go driver's check."""
    ctl = ImexCtl(
        AsyncProcesses(), Path("/imexd/imexd.cfg"), _tool(tmp_path, f'echo "$*" >>{tmp_path}/asked; echo READY')
    )
    assert (await ctl.state(), await ctl.domain()) == (READY, None)
    assert (tmp_path / "asked").read_text() == "-c /imexd/imexd.cfg -q\n-c /imexd/imexd.cfg -N -j\n"


def test_letters_are_taken_as_they_are():
    """A connection that is told as the table's letter is that letter; a node that is not there has no row."""
    view = domain_view('{"status":"UP","nodes":{"0":{"status":"READY","connections":{"0":"C","1":"!","2":"x"}}}}')
    assert view is not None
    assert (view.row(0), view.row(5)) == ("C!?", "")
