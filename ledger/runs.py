"""The tree over a stretch, in runs of 256 leaves: the width the node table keeps roots for.

Pure: leaves come in, roots come out, and each run's root must be the one that was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ledger.beside import LogBroken
from models.log.tiles import TILE_LEVELS, TILE_WIDTH
from models.log.tree import Frontier

RUN = TILE_WIDTH


class Runs:
    """The runs from entry ``start`` on; ``kept`` are the roots in the table, by position."""

    def __init__(self, start: int, kept: Mapping[int, Any]) -> None:
        self._first, self._kept = start // RUN, kept
        self._roots: list[bytes] = []
        self._rest: list[bytes] = []

    @staticmethod
    def of_level(rows: Iterable[Sequence[Any]]) -> dict[int, Any]:
        """The hashes by position of the rows (position, hash, level) that are roots of runs."""
        return {position: value for position, value, level in rows if level == TILE_LEVELS}

    @property
    def full(self) -> int:
        """How many runs are full."""
        return len(self._roots)

    def add(self, leaves: Sequence[bytes]) -> None:
        """Add the next run, or the rest; raise ``LogBroken`` unless its root is the kept one."""
        if len(leaves) < RUN:
            self._rest = list(leaves)
            return
        root, position = _root(leaves), self._first + len(self._roots)
        self._roots.append(root)
        if self._kept.get(position) != root:
            last = position * RUN + RUN - 1
            raise LogBroken(last, f"the kept tree node of level {TILE_LEVELS} is wrong")

    def peaks(self) -> list[bytes]:
        """The roots of the perfect subtrees over all leaves so far, largest first."""
        return self.peaks_with(self._rest)

    def peaks_with(self, leaves: Sequence[bytes]) -> list[bytes]:
        """The same over the full runs and these ``leaves``, at most one run of them."""
        above, below = Frontier(), Frontier()
        for root in self._roots:
            above.append(root)
        if len(leaves) == RUN:
            above.append(_root(leaves))
            leaves = ()
        for leaf in leaves:
            below.append(leaf)
        return above.peaks + below.peaks


def _root(leaves: Sequence[bytes]) -> bytes:
    hashes = list(leaves)
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]
