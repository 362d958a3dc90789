"""Guards: boolean sentences over fact names, kept in disjunctive normal form. No numbers, no calls, no attributes."""

import ast
from collections.abc import Iterable

from attrs import frozen

MAX_LENGTH = 60


@frozen
class Term:
    """A conjunction: all of `needs` hold and none of `bars`."""

    needs: frozenset[str] = frozenset()
    bars: frozenset[str] = frozenset()

    def holds(self, facts: frozenset[str]) -> bool:
        """Whether the conjunction is true."""
        return self.needs <= facts and self.bars.isdisjoint(facts)

    def joined(self, other: "Term") -> "Term | None":
        """Both at once; None when they contradict each other."""
        needs, bars = self.needs | other.needs, self.bars | other.bars
        return None if needs & bars else Term(needs, bars)


@frozen
class Guard:
    """A sentence and its terms: true when one of them is. No term is never, the empty term is always."""

    text: str
    terms: tuple[Term, ...]
    names: frozenset[str]

    def holds(self, facts: frozenset[str]) -> bool:
        """Whether the sentence is true of these facts."""
        for term in self.terms:  # noqa: SIM110 - a loop is twice as fast as any(), and this is the hot path
            if term.needs <= facts and term.bars.isdisjoint(facts):
                return True
        return False


class GuardError(ValueError):
    """The sentence is not one: the text says what was found."""


def parse(text: str) -> Guard:
    """Read a sentence such as `formed and not deleting`. Raises GuardError."""
    return _guard(text, _tree(text), wanted=True)


def negated(guard: Guard) -> Guard:
    """The opposite sentence."""
    return _guard(f"not ({guard.text})" if " " in guard.text else f"not {guard.text}", _tree(guard.text), wanted=False)


def _guard(text: str, tree: ast.expr, *, wanted: bool) -> Guard:
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Guard(text, _minimal(_terms(tree, wanted=wanted)), names)


def _tree(text: str) -> ast.expr:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        _check(tree, text)
    except SyntaxError as error:
        raise GuardError(f"not a sentence over facts: {text!r} ({error.msg})") from error
    except GuardError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, half a surrogate pair, too many brackets
        raise GuardError(f"not a sentence over facts: {text[:MAX_LENGTH]!r} ({error})") from error
    return tree


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Name():
            return
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, text)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, text)
        case _:
            found = ast.unparse(node)
            raise GuardError(f"{text!r}: only fact names, 'and', 'or', 'not' and brackets; found {found!r}")


def _terms(node: ast.expr, *, wanted: bool) -> list[Term]:
    match node:
        case ast.Name(id=name):
            return [Term(needs=frozenset([name])) if wanted else Term(bars=frozenset([name]))]
        case ast.UnaryOp(operand=operand):
            return _terms(operand, wanted=not wanted)
        case ast.BoolOp(op=operator, values=values):
            parts = [_terms(value, wanted=wanted) for value in values]
            conjunction = isinstance(operator, ast.And) == wanted
            return _product(parts) if conjunction else [term for part in parts for term in part]
    raise AssertionError(node)  # pragma: no cover - _check let nothing else pass


def _product(parts: Iterable[list[Term]]) -> list[Term]:
    product = [Term()]
    for part in parts:
        joined = (left.joined(right) for left in product for right in part)
        product = [term for term in joined if term is not None]
    return product


def _minimal(terms: Iterable[Term]) -> tuple[Term, ...]:
    kept: list[Term] = []
    for term in sorted(set(terms), key=lambda t: (len(t.needs) + len(t.bars), sorted(t.needs), sorted(t.bars))):
        if not any(other.needs <= term.needs and other.bars <= term.bars for other in kept):
            kept.append(term)
    return tuple(kept)
