"""Says which workers are still loading."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.status import Status

from edge_agent.supervisor.plan import PROCESSES


class HouseProgress:
    """A line on the terminal while the house warms up; gone when it is warm."""

    def __init__(self, console: Console) -> None:
        self._waiting = [row.name for row in PROCESSES]
        self._status = Status(self._text(), console=console)
        self._shown = console.is_terminal and not console.quiet

    def _text(self) -> str:
        return f"loading models: waiting for {', '.join(self._waiting)}"

    def __enter__(self) -> HouseProgress:
        if self._shown:
            self._status.start()
        return self

    def __call__(self, name: str, ready: bool) -> None:
        """One worker is ready."""
        if ready and name in self._waiting:
            self._waiting.remove(name)
            self._status.update(self._text())

    def done(self) -> None:
        """All are ready: take the line away."""
        self._status.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()
