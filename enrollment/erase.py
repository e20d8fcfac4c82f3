"""Take a face back: the template first, then the keys, the account, and the person.

The first transaction marks the rider as *left*, and takes the template from the galleries and
every pass away: gates drop their own copies at their next refresh, no page of the rider opens
any more, and nothing is issued to them. Then the data key goes, and with it every copy of the
template in backups. Then the fare account is closed (its rides stay, linked to nobody), and
last the rows that name the rider go.

Whatever stops this half-way, the mark stays: erasing the rider again, at the desk or by
``enrollment.retention``, finishes it.
"""

from __future__ import annotations

from flask_babel import gettext as _
from sqlmodel import col, delete

from enrollment.access_log import forget_looks
from enrollment.form import EnrollmentRefused
from enrollment.gallery import data_key_name, move_gallery_version
from enrollment.passes import forget_passes
from enrollment.rider_sign_in import forget_guesses
from enrollment.store import Enrollment
from models.database import forget_old_pages, writing
from models.tables.access_log import OpenCase
from models.tables.riders import Consent, Rider, RiderStation, Template


def erase_rider(enrollment: Enrollment, rider_id: str) -> None:
    """Delete the rider with this reference; raise ``EnrollmentRefused`` if there is none.

    Safe to repeat, and for two to do at once.
    """
    account_id = _let_go(enrollment, rider_id)
    enrollment.vault.erase(data_key_name(rider_id))
    enrollment.close_account(account_id)
    forget_guesses(enrollment, rider_id)
    with writing(enrollment.riders) as session:
        forget_looks(session, rider_id)  # the data key is gone: no new one leads to the rider
        for table in (Consent, OpenCase, Rider):
            session.exec(delete(table).where(col(table.rider_id) == rider_id))
    forget_old_pages(enrollment.riders)


def _let_go(enrollment: Enrollment, rider_id: str) -> str:
    """Let no gate and no page open for the rider, whatever follows; return their account."""
    with writing(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            raise EnrollmentRefused(
                _("There is no rider %(reference)s; check the reference.", reference=rider_id)
            )
        rider.status = "left"
        session.add(rider)
        for table in (Template, RiderStation):
            session.exec(delete(table).where(col(table.rider_id) == rider_id))
        forget_passes(session, rider_id, enrollment.clock())
        move_gallery_version(session)
        return rider.account_id
