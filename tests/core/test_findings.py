"""Facts carry their reasons, and what one waits for is said in their words."""

from nvdra.core import guards
from nvdra.core.findings import Fact, Facts, Finding, holding
from nvdra.core.guards import Guard
from nvdra.core.table import Edge, Leaf
from nvdra.core.waits import reasons, waits_for


def a_leaf(*sentences, kind="progress"):
    return Leaf("Here", "", tuple(Edge("Here", "There", guards.parse(text), kind) for text in sentences))


def found(**because):
    """Facts that do not hold, each with its reason; a reason of True: it holds."""
    return {name: Finding(True) if why is True else Finding(False, why) for name, why in because.items()}


def test_a_function_becomes_a_fact():
    """Its name is the fact's, its docstring the sentence on one line, its answer a finding."""
    facts: Facts[int] = Facts()

    @facts.add
    def even(number: int) -> bool:
        """It can be
        halved."""
        return number % 2 == 0

    @facts.add
    def big(number: int) -> Finding:
        return Finding(number > 9, f"{number} is on the scale", "the scale")

    assert facts.by_name["even"].sentence == "It can be halved."
    assert facts.by_name["big"].sentence == ""
    assert isinstance(facts.by_name["big"], Fact)
    assert facts.findings(12) == {"even": Finding(True), "big": Finding(True, "12 is on the scale", "the scale")}
    assert holding(facts.findings(7)) == frozenset()
    assert holding(facts.findings(8)) == {"even"}


def test_waits_for_what_lacks_least():
    """Of several ways forward the one that lacks least says what is waited for."""
    leaf = a_leaf("a and b and c", "d and a")
    assert waits_for(leaf, found(a=True, b="no b", c="no c", d="no d")) == ("d",)


def test_waits_for_what_should_not_be():
    """A fact that holds but must not is waited for as well."""
    assert waits_for(a_leaf("not a"), {"a": Finding(True, "a is still there")}) == ("a",)


def test_waits_only_for_what_has_a_reason():
    """A fact that cannot give a reason is nobody's business: the way that can say what it waits for is the answer."""
    leaf = a_leaf("recorded or (located and vacant)")
    findings = found(recorded="", located="fabric is training", vacant="channel 0 is held")
    assert waits_for(leaf, findings) == ("located", "vacant")
    assert reasons(("located", "vacant"), findings) == "fabric is training; channel 0 is held"


def test_a_leaf_without_ways_forward_waits_for_nothing():
    """Retreats are not ways forward."""
    assert waits_for(a_leaf("a", kind="retreat"), found(a="no")) == ()
    never = Leaf("Here", "", (Edge("Here", "There", Guard("never", (), frozenset()), "progress"),))
    assert waits_for(never, {}) == ()


def test_reasons_read_as_one_line():
    """Equal reasons are said once, as are parts of others, and a fact without a reason is said by its name."""
    findings = found(all_ready="", formed="1 of 2 nodes", listed="1 of 2 nodes")
    assert reasons(("all_ready", "formed", "listed"), findings) == "all ready; 1 of 2 nodes"
    longer = found(all_ready="node-1 is late", formed="waiting for 1 of 2 nodes: node-1 is late")
    assert reasons(("all_ready", "formed"), longer) == "waiting for 1 of 2 nodes: node-1 is late"
    assert reasons((), {}) == ""
