"""What the rider sees. The console display writes one line per change."""

from __future__ import annotations

from typing import Protocol, TextIO

from gate.passage import Phase


class Display(Protocol):
    """A screen at the gate."""

    def show(self, phase: Phase, text: str) -> None:
        """Show where the passage stands; ``text`` is advice or a reason, or empty."""
        ...


class ConsoleDisplay:
    """Writes each change as a line with its time."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, phase: Phase, text: str) -> None:
        print(f"screen: {phase}{': ' + text if text else ''}", file=self._out, flush=True)
