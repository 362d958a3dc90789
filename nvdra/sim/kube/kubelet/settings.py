"""How patient a kubelet is; the defaults are the real one's."""

from attrs import field, frozen


@frozen
class Settings:
    """Seconds, unless said otherwise. A pair is a range that each wait is drawn from."""

    prepare_retry: tuple[float, float] = (60, 90)
    unprepare_retry: tuple[float, float] = (10, 15)
    wipe_slices_after: float = 30
    registry_poll: float = 0.2
    reconcile_every: float = 60
    first_back_off: float = 10
    last_back_off: float = 300
    cdi: bool = True
    """Whether the runtime knows of CDI; one that does not leaves its devices out without a word."""
    missing_images: frozenset[str] = field(default=frozenset(), converter=frozenset)
    """Images that cannot be pulled; all others are present."""
