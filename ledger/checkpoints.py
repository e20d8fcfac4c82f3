"""Sign how long the log is and what its root is, and never sign two stories.

The newest checkpoint is kept in a file outside the database. Before each signature the
tree is compared with it: a log that became shorter, or whose old part changed (a restored
backup, an edited row), is not signed any more, and everyone who holds an older checkpoint
can see why. Entries newer than the kept checkpoint are hashed again from their bytes, so a
signature never covers a hash column alone.

DATA/log/signed-at   an empty file, dated when publishing last came to a good end

An idle log looks signed whether or not anybody still signs; only this moment, which is
renewed where there is nothing new to sign as well, tells a signer that is gone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.election import SIGNER, election, holder
from ledger.kept import CheckpointFile, CheckpointMoved, CheckpointRefused
from ledger.ledger import Ledger
from ledger.nodes import TreeIncomplete, frontier_at
from ledger.sequencer import Sequencer
from models.database import reading
from models.errors import sentence
from models.log.notes import Checkpoint, NoteRefused, check_checkpoint, sign_checkpoint
from models.log.tree import Frontier, leaf_hash
from models.tables.ledger import EntryRow, InboxRow

INTERVAL_S_MAX = 5.0
LATE_S = 2 * INTERVAL_S_MAX
SILENT_S = 3 * INTERVAL_S_MAX
"""Nobody signs any more where nobody published, not even nothing new, for so long."""

ENTRIES_MAX = 256
_TICK_S = 0.25
_READ_AT_ONCE = 1000

_log = logging.getLogger(__name__)


def kept_checkpoint(path: Path, origin: str, key: Ed25519PublicKey) -> tuple[Checkpoint, str]:
    """The kept checkpoint and its note; refuse one of another log or another key."""
    note = CheckpointFile(path).read()
    try:
        return check_checkpoint(note, origin, key), note
    except NoteRefused as error:
        raise CheckpointRefused(
            f"the kept checkpoint was not made by this log and key ({error}); nothing is signed"
        ) from error


def publish(ledger: Ledger) -> Checkpoint:
    """Sign and keep a checkpoint over all entries, unless the kept one covers them already.

    Raises ``CheckpointRefused`` where the log is smaller than, or inconsistent with, the
    kept checkpoint, and ``CheckpointMoved`` where another program was faster.
    """
    new = _publish(ledger)
    _note_the_moment(ledger)
    return new


def _publish(ledger: Ledger) -> Checkpoint:
    origin = ledger.settings.origin
    old, note = kept_checkpoint(ledger.checkpoint_file, origin, ledger.log_key.public_key())
    with reading(ledger.engine) as session:
        tree = _consistent_tree(session, old)
    if tree.size == old.size:
        return old
    new = Checkpoint(origin, tree.size, tree.root())
    CheckpointFile(ledger.checkpoint_file).swap(note, sign_checkpoint(new, ledger.log_key))
    return new


def _note_the_moment(ledger: Ledger) -> None:
    path, now_s = _moment_file(ledger), ledger.clock().timestamp()
    path.touch(mode=0o600)
    os.utime(path, (now_s, now_s))


def _moment_file(ledger: Ledger) -> Path:
    return ledger.checkpoint_file.with_name("signed-at")


def log_size(session: Session) -> int:
    """The number of entries."""
    last = session.execute(select(func.max(col(EntryRow.seq)))).scalar_one()
    return 0 if last is None else int(last) + 1


def _consistent_tree(session: Session, old: Checkpoint) -> Frontier:
    size = log_size(session)
    if size < old.size:
        raise CheckpointRefused(
            f"the log has {size} entries but a checkpoint over {old.size} was signed: entries "
            "are missing; run 'facefare ledger verify' and restore them before going on"
        )
    try:
        tree = frontier_at(session, old.size)
    except TreeIncomplete as error:
        raise CheckpointRefused(str(error)) from error
    if tree.root() != old.root:
        raise CheckpointRefused(
            f"the first {old.size} entries are not those that were signed; "
            "run 'facefare ledger verify' and restore the database they belong to"
        )
    for start in range(old.size, size, _READ_AT_ONCE):
        _hash_again(session, tree, min(start + _READ_AT_ONCE, size))
    return tree


def _hash_again(session: Session, tree: Frontier, end: int) -> None:
    seq = col(EntryRow.seq)
    rows = session.execute(
        select(seq, col(EntryRow.body), col(EntryRow.leaf_hash))
        .where(seq >= tree.size, seq < end)
        .order_by(seq)
    )
    for number, body, kept in rows:
        # SQLite lets text stand where bytes belong; that is a change as well.
        if number != tree.size or not isinstance(body, bytes) or leaf_hash(body) != kept:
            raise CheckpointRefused(f"entry {tree.size} is missing or was changed; not signed")
        tree.append(kept)
    if tree.size != end:
        raise CheckpointRefused(f"entry {tree.size} is missing; not signed")


@dataclass(frozen=True, slots=True)
class Health:
    """How far the signed checkpoint is behind the log; ``signer`` is the worker that signs."""

    entries: int
    checkpoint_size: int | None
    signed_at: datetime | None
    unsigned_for_s: float
    problem: str
    signer: str = ""

    @property
    def ok(self) -> bool:
        """Whether every entry is signed for soon enough."""
        return not self.problem and self.unsigned_for_s <= LATE_S


def health(ledger: Ledger) -> Health:
    """Compare the kept checkpoint with the log: sizes, and the age of the oldest unsigned entry."""
    try:  # before the snapshot: what is signed meanwhile is not in it
        kept, _ = kept_checkpoint(
            ledger.checkpoint_file, ledger.settings.origin, ledger.log_key.public_key()
        )
    except CheckpointRefused as error:
        with reading(ledger.engine) as session:
            return Health(log_size(session), None, None, 0.0, str(error))
    with reading(ledger.engine) as session:
        size = log_size(session)
        unsigned = select(col(EntryRow.recorded_at)).where(col(EntryRow.seq) == kept.size)
        unnumbered = select(func.min(col(InboxRow.accepted_at)))
        moments = [session.execute(query).scalar() for query in (unsigned, unnumbered)]
    now = ledger.clock()
    unsigned_s, unnumbered_s = ((now - moment).total_seconds() if moment else 0.0
                                for moment in moments)  # fmt: skip
    # After the clock was set back, new entries still bear the newest one's time, so one from
    # the future says nothing; what waits for its number bears the clock's own.
    waited_s = round(max(unsigned_s, abs(unnumbered_s)), 3)
    signed_at = datetime.fromtimestamp(ledger.checkpoint_file.stat().st_mtime, UTC)
    problem = _silence(ledger)
    if kept.size > size:
        problem = f"the checkpoint covers {kept.size} entries, but only {size} are here"
    return Health(size, kept.size, signed_at, waited_s, problem, holder(ledger, SIGNER))


def _silence(ledger: Ledger) -> str:
    """That nobody signs any more, in words; empty where somebody does."""
    try:
        published_s = _moment_file(ledger).stat().st_mtime
    except FileNotFoundError:
        return "nobody has looked yet whether there is anything to sign; start the server"
    silent_s = ledger.clock().timestamp() - published_s
    if abs(silent_s) <= SILENT_S:
        return ""
    if silent_s < 0:
        return f"nobody signs since the clock was set back by {-silent_s:.0f} s or more"
    return f"nobody has looked for {silent_s:.0f} s whether there is anything to sign"


class Publisher:
    """A thread that publishes within 5 seconds or 256 entries, whichever comes first.

    Every worker runs one, and of all of them one is elected. On PostgreSQL a sequencer runs
    beside it: what is signed must have a number first. Whatever goes wrong in a round, the
    thread goes on: one that ended would leave its office to nobody as long as its process lives.
    """

    def __init__(self, ledger: Ledger, interval_s: float = INTERVAL_S_MAX - 1) -> None:
        self._ledger, self._interval_s = ledger, interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._complaint = ""
        self._sequencer = Sequencer(ledger)
        self._election = election(ledger, SIGNER)

    def start(self) -> None:
        """Publish once here, so that a contradicted log does not start; then go on alone."""
        with suppress(CheckpointMoved):  # by another worker that starts
            publish(self._ledger)
        self._sequencer.start()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Publish what is left and end the thread."""
        self._sequencer.stop()
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._publish()
        self._election.resign()

    def _run(self) -> None:
        published_at, size = time.monotonic(), self._size()
        while not self._stop.wait(_TICK_S):
            if not self._elected():
                continue
            now = self._size()
            due = time.monotonic() - published_at >= self._interval_s
            if due or now - size >= ENTRIES_MAX:
                self._publish()
                published_at, size = time.monotonic(), now

    def _elected(self) -> bool:
        try:
            return self._election.won()
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            self._complain(error)
            return False

    def _size(self) -> int:
        try:
            with reading(self._ledger.engine) as session:
                return log_size(session)
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            self._complain(error)
            return 0

    def _publish(self) -> None:
        try:
            publish(self._ledger)
        except CheckpointMoved:
            pass  # the other program's checkpoint is as good as ours
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            self._complain(error)
        else:
            self._complaint = ""

    def _complain(self, error: Exception) -> None:
        """Log a trouble once, not at every tick; the health page shows its consequence."""
        complaint = sentence(error)
        if complaint != self._complaint:
            _log.error("no checkpoint published: %s", complaint)
            self._complaint = complaint
