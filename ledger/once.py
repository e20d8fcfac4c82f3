"""Record an entry once, under an id its maker chose before sending it.

A form posted twice, or again after a crash, finds the entry that is there. The same id for
anything else is a conflict: nothing is recorded and the maker must choose a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, select

from ledger.entries import Draft
from ledger.store import LogWriter
from models.errors import FacefareError
from models.tables.ledger import EntryRow


class EntryRefused(FacefareError):
    """An entry that cannot be recorded as asked."""


class EntryConflict(EntryRefused):
    """The id belongs to something else that was recorded before."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The entry's number; ``replayed`` when it was there already."""

    entry: int
    replayed: bool


def check_entry_id(entry_id: str) -> None:
    """Raise ``EntryRefused`` unless the id is a UUID in lower case."""
    try:
        canonical = str(UUID(entry_id))
    except ValueError as error:
        raise EntryRefused(f"an entry's id is a UUID, not {entry_id!r}") from error
    if canonical != entry_id:
        raise EntryRefused(f"an entry's id is a UUID in lower case, not {entry_id!r}")


def recorded_before(session: Session, draft: Draft) -> Recorded | None:
    """The entry that was recorded under the draft's id, if any.

    Raises ``EntryConflict`` where that entry is of another kind, account or amount, or
    corrects another entry. Who sent it does not matter: two clerks may retry for each other.
    """
    row = session.exec(select(EntryRow).where(EntryRow.entry_id == draft.entry_id)).first()
    if row is None:
        return None
    recorded = (row.kind, row.account_id, row.amount_minor, row.currency, row.corrects)
    amount = draft.amount
    asked = (draft.kind, draft.account_id, amount.minor, amount.currency,
             draft.facts.get("corrects"))  # fmt: skip
    if recorded != asked:
        raise EntryConflict(
            f"the id {draft.entry_id} was used for another entry; nothing was recorded. "
            "Start again with a new form"
        )
    return Recorded(row.seq, replayed=True)


def record(writer: LogWriter, draft: Draft) -> Recorded:
    """Append the draft to the log and save what the writer holds; for entries made one by one."""
    seq = writer.append(draft)
    writer.save()
    return Recorded(seq, replayed=False)
