"""The tree at rest: entries hold the leaves, the node table every eighth level above them.

Any node between is folded from at most 128 kept hashes, so appending, proving and signing
never read the whole log. Hashes here are what the store says; ``ledger.verify`` computes
them again from the entries' bytes.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from models.errors import FacefareError
from models.log.tree import Frontier, node_hash
from models.tables.ledger import EntryRow, NodeRow

KEPT_LEVELS = 8  # a C2SP tile is eight levels high


class TreeIncomplete(FacefareError):
    """Rows that the tree needs are missing from the database."""


def kept_hashes(session: Session, level: int, start: int, count: int) -> list[bytes]:
    """``count`` hashes of a kept ``level`` (0, 8, 16, …) from position ``start``."""
    if level == 0:
        position, value = col(EntryRow.seq), col(EntryRow.leaf_hash)
        query = select(value).where(position.between(start, start + count - 1)).order_by(position)
    else:
        position, value = col(NodeRow.position), col(NodeRow.hash)
        query = (
            select(value)
            .where(col(NodeRow.level) == level, position.between(start, start + count - 1))
            .order_by(position)
        )
    hashes = list(session.execute(query).scalars())
    if len(hashes) != count:
        raise TreeIncomplete(
            f"the log's tree lacks hashes of level {level} from {start} on; "
            "run 'facefare ledger verify' and restore the database from a backup"
        )
    return hashes


def read_node(session: Session, level: int, position: int) -> bytes:
    """The root of the perfect subtree of ``2**level`` leaves number ``position``."""
    above = level % KEPT_LEVELS
    hashes = kept_hashes(session, level - above, position << above, 1 << above)
    while len(hashes) > 1:
        hashes = [
            node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


def frontier_at(session: Session, size: int) -> Frontier:
    """The right edge of the tree over the first ``size`` entries."""
    levels = [level for level in range(size.bit_length()) if size >> level & 1]
    peaks = [read_node(session, level, (size >> level) - 1) for level in reversed(levels)]
    return Frontier(size, peaks)


def nodes_to_keep(size: int, completed: list[bytes]) -> list[dict[str, object]]:
    """Rows for the node table from what ``Frontier.append`` completed at this ``size``."""
    return [
        {"level": level, "position": (size >> level) - 1, "hash": completed[level]}
        for level in range(KEPT_LEVELS, len(completed), KEPT_LEVELS)
    ]
