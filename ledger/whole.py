"""The stretches of a verified log put together: one tree, and sums of what was counted.

Part of ``ledger.verify``. A full stretch is a leaf of the tree above it; where that tree
completes a node that is kept in the database, the two must be the same.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.beside import LogBroken, adjustment_of
from ledger.nodes import KEPT_LEVELS
from ledger.stretch import Walked
from models.log.notes import Checkpoint
from models.log.tree import Frontier
from models.tables.ledger import EntryRow, InboxRow, NodeRow


@dataclass(slots=True)
class Whole:
    """The stretches put together: the tree over them, and sums of their counts.

    ``above`` is the tree whose leaves are the roots of full stretches; ``edge`` holds the
    roots within the last stretch, which may be shorter. ``beyond`` comes to nothing for each tap.
    """

    session: Session
    expected: Checkpoint | None
    long: int
    size: int = 0
    above: Frontier = field(default_factory=Frontier)
    edge: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)

    def add(self, part: Walked) -> None:
        """Put the next stretch beside the ones before; raise ``LogBroken`` if it is broken."""
        if part.at_checkpoint is not None and self.expected is not None:
            self.compare_root(self.expected.size, part.at_checkpoint)
        if part.broken is not None:
            raise LogBroken(*part.broken)
        self.counts.update(part.counts)
        self.beyond.update(part.beyond)
        self.size = part.end
        if part.end - part.start < self.long:
            self.edge = part.peaks
            return
        completed = self.above.append(part.peaks[0])
        for level, root in enumerate(completed, self.long.bit_length() - 1):
            if level % KEPT_LEVELS == 0 and level > KEPT_LEVELS:  # that one was checked within
                self._check_node(level, root)

    def _check_node(self, level: int, root: bytes) -> None:
        position = (self.size >> level) - 1
        kept = self.session.execute(
            select(col(NodeRow.hash)).where(
                col(NodeRow.level) == level, col(NodeRow.position) == position
            )
        ).scalar()
        if kept != root:
            raise LogBroken(self.size - 1, f"the kept tree node of level {level} is wrong")
        self.counts["nodes"] += 1

    def compare_answers(self) -> None:
        """Raise ``LogBroken`` where a tap's answer and its entries come to different amounts.

        A ride may have its number while its tap's adjustments still wait for theirs.
        """
        for contents in self.session.execute(select(col(InboxRow.contents))).scalars():
            value = json.loads(contents)
            if value["kind"] == "fare_adjustment" and value["cause"] in self.beyond:
                self.beyond[value["cause"]] -= adjustment_of(value)
        for tap_id, minor in self.beyond.items():
            if minor:
                query = select(col(EntryRow.seq)).where(col(EntryRow.entry_id) == tap_id)
                raise LogBroken(
                    self.session.execute(query).scalar(),
                    f"the answer kept beside its tap is {minor} minor units off what it charged",
                )

    def compare_root(self, size: int, edge: list[bytes]) -> None:
        """Compare the tree of ``size`` entries, which ends in ``edge``, with the checkpoint."""
        if self.expected is not None and self._root(size, edge) != self.expected.root:
            raise LogBroken(
                None,
                f"its first {size} entries are not those of the checkpoint: "
                "some were changed and everything after them was made to fit",
            )

    def root(self) -> bytes:
        """The root over everything added so far."""
        return self._root(self.size, self.edge)

    def _root(self, size: int, edge: list[bytes]) -> bytes:
        above = Frontier(self.above.size, self.above.peaks)
        if edge and size % self.long == 0:
            above.append(edge[0])  # a full stretch is a leaf of the tree above
            edge = []
        return Frontier(size, above.peaks + edge).root()
