"""settle() against the reference, and the ways in which it must not be clever."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.core.laws import worlds
from nvdra.core.machine import Interpreter
from nvdra.core.orders import Order
from nvdra.core.statechart import State, Statechart, dotted
from nvdra.core.table import compile_table
from tests.core.charts import FACTS, begin, fact_sets, reference, statecharts


@given(statecharts())
@settings(max_examples=80)
def test_settles_where_the_reference_does(chart):
    """From every leaf and from the beginning, under every set of facts, interpreter and reference agree."""
    interpreter = Interpreter(compile_table(chart))
    for facts in worlds(FACTS):
        assert interpreter.settle(None, facts).leaf.name == dotted(reference(chart, begin(chart, ()), facts))
        for chain in chart.leaves():
            assert interpreter.settle(dotted(chain), facts).leaf.name == dotted(reference(chart, chain, facts))


@given(statecharts(), fact_sets)
@settings(max_examples=40)
def test_a_path_is_a_chain_of_edges_that_hold(chart, facts):
    """Every edge of a path holds, begins where the one before ended, and the last ends in the leaf."""
    interpreter = Interpreter(compile_table(chart))
    for chain in chart.leaves():
        step = interpreter.settle(dotted(chain), facts)
        stops = [dotted(chain), *(edge.target for edge in step.path)]
        assert [edge.source for edge in step.path] == stops[:-1]
        assert step.leaf.name == stops[-1]
        assert all(edge.guard.holds(facts) for edge in step.path)


@given(statecharts(), fact_sets)
@settings(max_examples=40)
def test_an_unknown_state_is_the_beginning(chart, facts):
    """A state of an older statechart means nothing to a newer one: one begins anew."""
    interpreter = Interpreter(compile_table(chart))
    assert interpreter.settle("Of.Yesterday", facts) == interpreter.settle(None, facts)


@given(statecharts())
@settings(max_examples=30)
def test_orders_and_reports_are_inherited(chart):
    """A leaf keeps what its ancestors keep, outermost first; its report is the innermost one."""
    for chain in chart.leaves():
        leaf = compile_table(chart).leaves[dotted(chain)]
        things = dict.fromkeys(thing for state in chain for thing in state.present)
        assert leaf.orders == tuple(Order("present", thing) for thing in things)
        assert leaf.report == ([state.report for state in chain if state.report] or [""])[-1]


def test_without_edges_one_stays():
    """A statechart of one state without a way out is a statechart."""
    chart = Statechart("one", "", {}, "Only", {"Only": State("Only")})
    interpreter = Interpreter(compile_table(chart))
    assert interpreter.settle(None, frozenset()).leaf.name == "Only"
    assert interpreter.settle("Only", frozenset()).path == ()


def test_an_order_reads_as_a_sentence():
    """In logs an order is `verb thing`."""
    assert str(Order("absent", "daemonset")) == "absent daemonset"


@given(statecharts(), st.data())
@settings(max_examples=30)
def test_settling_remembers_nothing(chart, data):
    """settle is a function: what was settled before does not matter."""
    interpreter = Interpreter(compile_table(chart))
    states = st.sampled_from([dotted(chain) for chain in chart.leaves()])
    asked = data.draw(st.lists(st.tuples(states, fact_sets), min_size=1, max_size=10))
    first = [interpreter.settle(*question) for question in asked]
    assert [interpreter.settle(*question) for question in reversed(asked)] == first[::-1]
