"""Refuse to add to a log that has lost entries.

A database that was replaced by an older copy still takes taps, and would acknowledge them
into a history that will be thrown away when the right copy is put back. The kept checkpoint
lies outside the database and says how long the log was: with fewer entries than that,
nothing is written until somebody has looked.

The engine carries the way to look it up, so that every writer of the log finds it, whoever
made the session.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import Session

from ledger.kept import CheckpointFile, CheckpointMissing, CheckpointRefused
from models.log.notes import parse_checkpoint, parse_note

_OPTION = "facefare_checkpoint"


def guarded(engine: Engine, checkpoint_file: Path) -> Engine:
    """The same database, whose log must not be shorter than the kept checkpoint says."""
    return engine.execution_options(**{_OPTION: checkpoint_file})


def signed_size(session: Session) -> int:
    """How many entries the kept checkpoint covers; ask before counting those that are there.

    Without a kept checkpoint nothing can be compared; nothing is signed either then.
    """
    kept = session.connection().get_execution_options().get(_OPTION)
    if kept is None:
        return 0
    try:
        return parse_checkpoint(parse_note(CheckpointFile(kept).read()).body).size
    except CheckpointMissing:
        return 0


def refuse_shorter_log(size: int, signed: int) -> None:
    """Raise ``CheckpointRefused`` where the log has fewer entries than were signed for."""
    if size < signed:
        raise CheckpointRefused(
            f"the log has {size} entries but a checkpoint over {signed} was signed: entries are "
            "missing, so nothing is added; run 'facefare ledger verify' and restore them"
        )
