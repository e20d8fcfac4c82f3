"""The tree at rest: entries hold the leaves, the node table every eighth level above them.

Any node between is folded from at most 128 kept hashes, so appending, proving and signing
never read the whole log. Hashes here are what the store says; ``ledger.verify`` computes
them again from the entries' bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlmodel import Session

from models.errors import FacefareError
from models.log.tree import Frontier
from models.tables.ledger import EntryRow, NodeRow

KEPT_LEVELS = 8  # a C2SP tile is eight levels high
_READ_MAX = 256  # further behind, reading from the kept levels is less
_EDGE = "edge of the log"

_entry = EntryRow.__table__  # type: ignore[attr-defined]
_node = NodeRow.__table__  # type: ignore[attr-defined]


class _Edge(NamedTuple):
    size: int
    last: bytes
    peaks: tuple[bytes, ...]


class TreeIncomplete(FacefareError):
    """Rows that the tree needs are missing from the database."""


_LEAVES = (
    select(_entry.c.leaf_hash)
    .where(_entry.c.seq.between(bindparam("first"), bindparam("last")))
    .order_by(_entry.c.seq)
)
_NODES = (
    select(_node.c.hash)
    .where(
        _node.c.level == bindparam("level"),
        _node.c.position.between(bindparam("first"), bindparam("last")),
    )
    .order_by(_node.c.position)
)


def kept_hashes(session: Session, level: int, start: int, count: int) -> list[bytes]:
    """``count`` hashes of a kept ``level`` (0, 8, 16, …) from position ``start``."""
    places = {"first": start, "last": start + count - 1}
    query, values = (_NODES, {"level": level, **places}) if level else (_LEAVES, places)
    hashes = list(session.execute(query, values).scalars())
    if len(hashes) != count:
        raise TreeIncomplete(
            f"the log's tree lacks hashes of level {level} from {start} on; "
            "run 'facefare ledger verify' and restore the database from a backup"
        )
    return hashes


def frontier_at(session: Session, size: int) -> Frontier:
    """The right edge of the tree over the first ``size`` entries.

    Below each kept level the peaks are those of a tree of the last hashes there, 255 at most.
    """
    peaks: list[bytes] = []
    for level in reversed(range(0, size.bit_length(), KEPT_LEVELS)):
        count = size >> level & (1 << KEPT_LEVELS) - 1
        edge = Frontier()
        if count:
            for kept in kept_hashes(session, level, (size >> level) - count, count):
                edge.append(kept)
        peaks += edge.peaks
    return Frontier(size, peaks)


def frontier_after(session: Session, size: int, last: bytes) -> Frontier:
    """``frontier_at`` for the whole log, the last of whose ``size`` entries has the hash ``last``.

    A connection remembers the edge that it saw last, so that only what came after is read.
    An entry names the one before it: where one has the same hash, all before it are the same.
    """
    info = session.connection().info
    seen: _Edge | None = info.get(_EDGE)
    tree = None if seen is None else _continued(session, seen, size, last)
    if tree is None:
        tree = frontier_at(session, size)
    info[_EDGE] = _Edge(size, last, tuple(tree.peaks))
    return tree


def _continued(session: Session, seen: _Edge, size: int, last: bytes) -> Frontier | None:
    """The edge at ``size``, where what was ``seen`` is of the same log and not far behind."""
    if not 0 < seen.size <= size <= seen.size + _READ_MAX:
        return None
    first, *newer = [last]
    if size > seen.size:
        first, *newer = kept_hashes(session, 0, seen.size - 1, size - seen.size + 1)
    if first != seen.last:
        return None
    tree = Frontier(seen.size, seen.peaks)
    for leaf in newer:
        tree.append(leaf)
    return tree


def nodes_to_keep(size: int, completed: list[bytes]) -> list[dict[str, object]]:
    """Rows for the node table from what ``Frontier.append`` completed at this ``size``."""
    return [
        {"level": level, "position": (size >> level) - 1, "hash": completed[level]}
        for level in range(KEPT_LEVELS, len(completed), KEPT_LEVELS)
    ]
