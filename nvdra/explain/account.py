"""What is told of one ComputeDomain, as plain values: text, JSON and YAML are made from these. Pure."""

from attrs import field, frozen


@frozen
class FactTold:
    """A fact: whether it holds (None: what it is read from could not be read), why, and from which object and field."""

    name: str
    holds: bool | None
    sentence: str
    because: str = ""
    source: str = ""


@frozen
class LifeTold:
    """One statechart's object: where it is, how it got there from its beginning, what stands, what is waited for.

    `since`: RFC 3339, from the condition or the pod that says so; "" where the API does not know it.
    """

    statechart: str
    subject: str
    state: str
    about: str
    report: str
    facts: tuple[FactTold, ...] = ()
    path: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    since: str = ""


@frozen
class EventTold:
    """An Event, newest first where there are several."""

    reason: str
    message: str
    at: str = ""
    teller: str = ""
    count: int = 1
    warning: bool = False


@frozen
class PodTold:
    """A pod, as far as it can be seen why it is where it is. `claims`: ours, with their devices."""

    path: str
    stands: str
    claims: tuple[str, ...] = ()
    events: tuple[EventTold, ...] = ()


@frozen
class NodeTold:
    """One node: what its labels, the roster and its pods say. `plugin`: why the driver's pod there is not ready."""

    name: str
    stands: str
    clique: str = ""
    index: int = -1
    roster: str = ""
    daemons: tuple[PodTold, ...] = ()
    workers: tuple[PodTold, ...] = ()
    plugin: str = ""


@frozen
class ConditionTold:
    """A condition of the ComputeDomain."""

    type: str
    status: str
    reason: str
    message: str
    since: str = ""


@frozen
class Account:
    """All of it. `unread`: what the caller may not read, each with the answer; what rests on it is not known here.

    `guard`: who may reach the daemons' IMEX ports.
    """

    domain: str
    uid: str
    status: str
    since: str
    now: float
    waits: str = ""
    todo: tuple[str, ...] = ()
    conditions: tuple[ConditionTold, ...] = ()
    lives: tuple[LifeTold, ...] = ()
    guard: str = ""
    nodes: tuple[NodeTold, ...] = ()
    unplaced: tuple[PodTold, ...] = ()
    events: tuple[EventTold, ...] = ()
    unread: tuple[str, ...] = field(default=())
