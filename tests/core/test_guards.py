"""Guards mean what Python means by the same words, and nothing else is a guard."""

import pytest
from hypothesis import given

from nvdra.core import guards
from nvdra.core.guards import Guard, GuardError, Term
from nvdra.core.laws import worlds
from tests.core.charts import FACTS, fact_sets, sentences


@given(sentences)
def test_means_what_python_means(sentence):
    """In disjunctive normal form a sentence is true of the same facts as in Python's eval."""
    guard = guards.parse(sentence)
    for facts in worlds(FACTS):
        said = bool(eval(sentence, {}, {name: name in facts for name in FACTS}))
        assert guard.holds(facts) == said
        assert any(term.holds(facts) for term in guard.terms) == said


@given(sentences, fact_sets)
def test_the_opposite_is_the_opposite(sentence, facts):
    """A negated sentence is true exactly where the sentence is not, and its text reads so."""
    guard = guards.parse(sentence)
    opposite = guards.negated(guard)
    assert opposite.holds(facts) != guard.holds(facts)
    assert guards.parse(opposite.text).holds(facts) == opposite.holds(facts)


@given(sentences)
def test_no_term_is_idle(sentence):
    """No term is contained in another, and none contradicts itself."""
    terms = guards.parse(sentence).terms
    for term in terms:
        assert not term.needs & term.bars
        others = [other for other in terms if other is not term]
        assert not any(other.needs <= term.needs and other.bars <= term.bars for other in others)


def test_the_opposite_of_one_word_needs_no_brackets():
    """`not formed` reads better than `not (formed)`."""
    assert guards.negated(guards.parse("formed")).text == "not formed"
    assert guards.negated(guards.parse("formed and ready")).text == "not (formed and ready)"


def test_never_and_always():
    """A contradiction has no terms and a tautology is true of anything."""
    assert guards.parse("a and not a") == Guard("a and not a", (), frozenset("a"))
    always = guards.parse("a or not a")
    assert always.holds(frozenset()) and always.holds(frozenset("a"))
    assert Term().holds(frozenset("x"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("formed == 3", "formed == 3"),
        ("nodes(3)", "nodes(3)"),
        ("seen.formed", "seen.formed"),
        ("True", "True"),
        ("3", "3"),
        ("a if b else c", "a if b else c"),
        ("a and (b or c + d)", "c + d"),
        ("not -a", "-a"),
        ("lambda: a", "lambda: a"),
        ("[a]", "[a]"),
    ],
)
def test_anything_else_is_refused(text, found):
    """Numbers, calls, attributes and the rest of Python are named and refused."""
    with pytest.raises(GuardError, match="only fact names") as caught:
        guards.parse(text)
    assert f"found {found!r}" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "and", "a b", "a and", "(a", "a\0", "\ud800", "not " * 20_000 + "a", "(" * 500 + "a" + ")" * 500]
)
def test_what_is_no_sentence_is_refused(text):
    """What Python cannot read is a GuardError too, never another exception, however long it is."""
    with pytest.raises(GuardError):
        guards.parse(text)
