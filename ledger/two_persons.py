"""Two persons who are two: who asks and who decides, and neither let the other in of late.

    the same name                          refused
    one invited or reset the other within  refused, and the attempt is an entry of the log:
    two_persons_days                       decision_refused, which moves nothing

Somebody who is sent away asks a colleague; nothing was decided. What an admin does who lets in
two accounts of others, and uses both, this does not see: ``facefare staff list`` shows who let
whom in.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid5

from flask_babel import gettext as _

from ledger.entries import Draft, commitment
from ledger.ledger import Ledger
from ledger.once import EntryRefused, record, recorded_before
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money

REFUSED = "decision_refused"


class NotIndependent(EntryRefused):
    """One of the two persons gave the other access a short while ago."""


def check_two_persons(ledger: Ledger, asked_by: str, decides: str, about: str) -> None:
    """Raise ``EntryRefused`` for one person, ``NotIndependent`` for two in the same hands.

    ``about`` is the id of what was asked for.
    """
    if asked_by == decides:
        raise EntryRefused(_("Who asked for it does not decide about it; ask a colleague."))
    days = ledger.settings.two_persons_days
    if not ledger.introductions.between(asked_by, decides, ledger.clock() - timedelta(days=days)):
        return
    _record_attempt(ledger, decides, about)
    raise NotIndependent(
        _(
            "One of you invited the other or reset their account within the last %(days)s days: "
            "another colleague has to decide. This attempt is in the log.",
            days=days,
        )
    )


def _record_attempt(ledger: Ledger, decides: str, about: str) -> None:
    key = ledger.vault.create(staff_key_name(decides))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        draft = Draft(
            kind=REFUSED,
            entry_id=str(uuid5(UUID(about), f"refused {commitment(key, about)}")),
            occurred_at=writer.recorded_at,
            amount=Money(0, ledger.settings.currency),
            postings=(),
            facts={
                "corrects": about,
                "rule": {
                    "code": "not_independent",
                    "words": "One of the two persons let the other in a short while ago.",
                },
            },
            made_by=decides,
            made_by_key=key,
        )
        if recorded_before(session, draft) is None:
            record(writer, draft)
