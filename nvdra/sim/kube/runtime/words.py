"""Pure: a small part of the shell's language, read into steps. What is not understood is said, never guessed."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

_OPERATORS: Final = (";", "&&", "||", "&", "\n")
_FOREIGN: Final = frozenset("|<>()`{}*?[]~!#")


class NotUnderstoodError(Exception):
    """The script uses something that is not played here; the text names it."""


@frozen
class Piece:
    """A part of a word; `plain` ones are taken as they are, in others $NAME is filled in."""

    text: str
    plain: bool


Word = tuple[Piece, ...]


@frozen
class Step:
    """One simple command and what joins it to the next: `;`, `&&`, `||` or `&`."""

    words: tuple[Word, ...]
    then: str


def parse(script: str) -> tuple[Step, ...]:
    """The steps of a script; NotUnderstoodError for anything beyond simple commands."""
    steps: list[Step] = []
    words: list[Word] = []
    for token in _Reader(script).tokens():
        if not isinstance(token, str):
            words.append(token)
            continue
        then = ";" if token == "\n" else token
        if words:
            steps.append(Step(tuple(words), then))
            words = []
        elif token != "\n" and not (steps and steps[-1].then == "&" and then == ";"):
            raise NotUnderstoodError(f"unexpected {token!r}")
    if words:
        steps.append(Step(tuple(words), ";"))
    return tuple(steps)


def filled(word: Word, env: Mapping[str, str]) -> str:
    """A word with its variables filled in."""
    return "".join(piece.text if piece.plain else _variables(piece.text, env) for piece in word)


def _variables(text: str, env: Mapping[str, str]) -> str:
    parts = text.split("$")
    out = [parts[0]]
    for part in parts[1:]:
        if part.startswith("{"):
            name, closed, rest = part[1:].partition("}")
        else:
            name = _name_at_start(part)
            closed, rest = "}", part[len(name) :]
        if not closed or not name.isidentifier():
            raise NotUnderstoodError(f"${part}")
        out.append(env.get(name, "") + rest)
    return "".join(out)


def _name_at_start(text: str) -> str:
    length = 0
    while length < len(text) and text[: length + 1].isidentifier():
        length += 1
    return text[:length]


class _Reader:
    def __init__(self, script: str) -> None:
        self._script = script
        self._at = 0

    def tokens(self) -> list[Word | str]:
        found: list[Word | str] = []
        while self._at < len(self._script):
            here = self._script[self._at]
            if here in " \t":
                self._at += 1
            elif here in ";&|\n":
                found.append(self._operator())
            elif here == "#":
                end = self._script.find("\n", self._at)
                self._at = len(self._script) if end < 0 else end
            else:
                found.append(self._word())
        return found

    def _operator(self) -> str:
        for length in (2, 1):
            text = self._script[self._at : self._at + length]
            if text in _OPERATORS:
                self._at += length
                return text
        raise NotUnderstoodError(self._script[self._at])

    def _word(self) -> Word:
        pieces: list[Piece] = []
        while self._at < len(self._script) and self._script[self._at] not in " \t;&|\n":
            here = self._script[self._at]
            if here == "'":
                pieces.append(Piece(self._until("'"), plain=True))
            elif here == '"':
                pieces.append(Piece(self._until('"'), plain=False))
            elif here == "\\":
                pieces.append(Piece(self._script[self._at + 1 : self._at + 2], plain=True))
                self._at += 2
            else:
                pieces.append(Piece(self._bare(), plain=False))
        return tuple(pieces)

    def _until(self, quote: str) -> str:
        end = self._script.find(quote, self._at + 1)
        if end < 0:
            raise NotUnderstoodError(f"unclosed {quote}")
        text = self._script[self._at + 1 : end]
        self._at = end + 1
        if quote == '"' and ("\\" in text or "`" in text or "$(" in text):
            raise NotUnderstoodError(f'"{text}"')
        return text

    def _bare(self) -> str:
        start = self._at
        while self._at < len(self._script) and self._script[self._at] not in " \t;&|\n'\"\\":
            here = self._script[self._at]
            braced = here in "{}" and "${" in self._script[start : self._at + 1]
            if here in _FOREIGN and not braced:
                raise NotUnderstoodError(here)
            self._at += 1
        return self._script[start : self._at]
