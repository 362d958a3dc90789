"""What it means that a fault is named, on the rack and on the real cluster alike: the table's own words, in time."""

from collections.abc import Mapping

from nvdra.explain.faults import Fault

IN_TIME = 10.0
"""Seconds from the fault to its name."""


def lacking(fault: Fault, texts: Mapping[str, str]) -> list[str]:
    """What of the cause and the way out these texts, by who tells them, do not say; line breaks do not count."""
    said = {teller: " ".join(text.split()) for teller, text in texts.items()}
    return [
        f"{fault.name}: {teller} lacks {words!r}:\n{texts[teller]}"
        for teller, text in said.items()
        for words in (fault.says, fault.todo)
        if words not in text
    ]


def places_of(fault: Fault) -> list[str]:
    """The kinds of objects on which it shows."""
    return fault.shown.split(", ")
