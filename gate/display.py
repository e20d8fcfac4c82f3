"""What the rider sees. The console display writes one line per change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from gate.passage import Phase
from gate.words import in_english

FaceBox = tuple[float, float, float, float]
"""A face's place as shares of the picture: left, top, width, height."""


class Display(Protocol):
    """A screen at the gate. ``show`` comes from the loop, ``settled`` from another thread."""

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        """Show where the passage stands; ``text`` is advice or a reason, or empty: a
        code of ``gate.words``, or a sentence of the server.

        ``tap_id`` names the passage's tap where the door opens.
        """
        ...

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        """The ledger's answer to a tap, as it came: ``status``, and fare and balance if known.

        It may come while the tap is on the screen, much later, or never.
        """
        ...

    def face(self, box: FaceBox | None) -> None:
        """Where the nearest face is, for a silhouette; None: nobody is there."""
        ...


class ConsoleDisplay:
    """Writes each change as a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        said = in_english(text)
        print(f"screen: {phase}{': ' + said if said else ''}", file=self._out, flush=True)

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        """The console shows passages, not fares."""

    def face(self, box: FaceBox | None) -> None:
        """The console draws nothing."""
