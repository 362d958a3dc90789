"""Standing orders: what a state wants present or absent, for as long as one is in it."""

from typing import Literal

from attrs import frozen


@frozen
class Order:
    """Keep *thing* present, or absent."""

    verb: Literal["present", "absent"]
    thing: str

    def __str__(self) -> str:
        return f"{self.verb} {self.thing}"
