"""Prove what is in the log: receipts for riders, tiles for everyone who verifies.

Everything is proved under the kept checkpoint, the newest that was signed, never under a
tree that nobody has vouched for yet.
"""

from __future__ import annotations

from sqlmodel import Session, col, select

from ledger.checkpoints import kept_checkpoint
from ledger.ledger import Ledger
from ledger.nodes import kept_hashes
from models.database import reading
from models.errors import FacefareError
from models.log.proofs import Node, prove_consistency, prove_inclusion
from models.log.receipts import Receipt
from models.log.tiles import TILE_LEVELS, TILE_WIDTH, Tile, bundle
from models.log.tree import root
from models.tables.ledger import EntryRow


class NothingToProve(FacefareError):
    """The entry is not there, or not signed for yet."""


def receipt(ledger: Ledger, entry_id: str) -> Receipt:
    """The receipt of the entry ``entry_id`` (for a ride, its tap id) under the kept checkpoint.

    Raises ``NothingToProve`` for an unknown entry and for one that is not signed for yet.
    """
    public = ledger.log_key.public_key()
    kept, note = kept_checkpoint(ledger.checkpoint_file, ledger.settings.origin, public)
    with reading(ledger.engine) as session:
        found = session.exec(
            select(EntryRow.seq, EntryRow.body).where(EntryRow.entry_id == entry_id)
        ).first()
        if found is None:
            raise NothingToProve(f"there is no entry with the id {entry_id!r}")
        seq, body = found
        if seq >= kept.size:
            raise NothingToProve(
                f"entry {seq} is not signed for yet; a checkpoint follows within seconds, try again"
            )
        path = prove_inclusion(seq, kept.size, _node_reader(session, kept.size))
    return Receipt(body, seq, tuple(path), note)


def consistency(ledger: Ledger, old: int, new: int) -> list[bytes]:
    """The proof that the log of ``new`` entries continues the log of ``old``."""
    with reading(ledger.engine) as session:
        return prove_consistency(old, new, _node_reader(session, new))


def tile_bytes(ledger: Ledger, tile: Tile) -> bytes:
    """The contents of ``tile``; raise ``TileRefused`` where the signed tree has no such tile."""
    public = ledger.log_key.public_key()
    kept, _ = kept_checkpoint(ledger.checkpoint_file, ledger.settings.origin, public)
    tile.check_within(kept.size)
    start = tile.number * TILE_WIDTH
    with reading(ledger.engine) as session:
        if tile.level is None:
            return bundle(_bodies(session, start, tile.width))
        return b"".join(kept_hashes(session, tile.level * TILE_LEVELS, start, tile.width))


def _node_reader(session: Session, size: int) -> Node:
    """Nodes of the tree of ``size`` entries, read a tile at a time: a proof needs few tiles."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    def node(level: int, position: int) -> bytes:
        above = level % TILE_LEVELS
        kept, first = level - above, position << above
        number = first // TILE_WIDTH
        if (kept, number) not in tiles:
            start = number * TILE_WIDTH
            count = min(TILE_WIDTH, (size >> kept) - start)
            tiles[kept, number] = kept_hashes(session, kept, start, count)
        place = first % TILE_WIDTH
        return root(tiles[kept, number][place : place + (1 << above)])

    return node


def _bodies(session: Session, start: int, count: int) -> list[bytes]:
    seq = col(EntryRow.seq)
    query = select(EntryRow.body).where(seq.between(start, start + count - 1)).order_by(seq)
    return list(session.exec(query))
