"""Take the entries' bytes out of one ledger and put them into an empty one, to compare roots.

    {"amount":{"currency":"CNY","minor":200},…,"seq":0,…,"v":1}
    {"amount":{"currency":"CNY","minor":500},…,"seq":1,…,"v":1}

One entry a line, exactly the bytes that were hashed: canonical JSON holds no line break.
Whoever replays such a file, on SQLite or PostgreSQL, must come to the root that was signed.
The file names no rider and no member of staff; whose an entry is stands beside the bytes in
the ledger it came from, so a replayed log is for auditors, not to go on charging with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlmodel import col, select

from ledger.checkpoints import log_size
from ledger.ledger import Ledger
from ledger.nodes import frontier_at
from ledger.once import EntryRefused
from ledger.store import LogWriter
from models.database import reading, writing
from models.log.notes import Checkpoint
from models.tables.ledger import EntryRow

_AT_ONCE = 2000


def entry_lines(ledger: Ledger, size: int | None = None) -> Iterator[bytes]:
    """Every entry's bytes with a line break, in order; all of them, or the first ``size``."""
    seq, start = col(EntryRow.seq), 0
    with reading(ledger.engine) as session:
        end = log_size(session) if size is None else size
        while start < end:
            query = select(EntryRow.body).where(seq >= start, seq < min(start + _AT_ONCE, end))
            bodies = session.exec(query.order_by(seq)).all()
            if not bodies:
                raise EntryRefused(f"the ledger has no {end} entries: entry {start} is missing")
            for body in bodies:
                yield body + b"\n"
            start += len(bodies)


def replay(ledger: Ledger, lines: Iterable[bytes]) -> Checkpoint:
    """Add the entries to an empty ledger, byte for byte; return its size and root, not signed.

    It is one transaction. Raises ``EntryRefused`` for a ledger with entries,
    ``EntryUnreadable`` for a line that is not the next entry; nothing is added then.
    """
    with writing(ledger.engine) as session:
        if log_size(session):
            raise EntryRefused("this ledger has entries already; replay into an empty one")
        writer = LogWriter(session, ledger.clock())
        for number, line in enumerate(lines, start=1):
            writer.replay(line.removesuffix(b"\n"))
            if number % _AT_ONCE == 0:
                writer.save()
        writer.save()
        session.flush()
        tree = frontier_at(session, log_size(session))
    return Checkpoint(ledger.settings.origin, tree.size, tree.root())
