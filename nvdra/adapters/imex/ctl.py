"""nvidia-imex-ctl: asks the local IMEX instance for its state, and for its view of the whole domain."""

from pathlib import Path

from nvdra.domains.imex_daemon.views import NO_ANSWER, DomainView, domain_view, state_of
from nvdra.ports import Processes


class ImexCtl:
    """The local instance, asked through its command-line tool; every question has a time limit."""

    def __init__(
        self, processes: Processes, config_path: Path, binary: Path, *, limits: tuple[float, float] = (2.0, 5.0)
    ) -> None:
        self._processes = processes
        self._argv = (str(binary), "-c", str(config_path))
        self._state_limit, self._domain_limit = limits

    async def state(self) -> str:
        """READY, or the word for what it is instead; UNKNOWN and NO_ANSWER when it does not say."""
        output = await self._processes.run([*self._argv, "-q"], self._state_limit)
        if output is None:
            return NO_ANSWER
        return state_of(output.stdout + output.stderr)

    async def domain(self) -> DomainView | None:
        """Every node and the matrix of connections; None: not known."""
        output = await self._processes.run([*self._argv, "-N", "-j"], self._domain_limit)
        if output is None:
            return None
        return domain_view(output.stdout)
