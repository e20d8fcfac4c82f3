"""Take a face back: the data key first, then the template, the account, and the person.

Once the data key is gone no copy of the template in the databases or their backups can be
opened. Deleting the template moves the gallery version, so that every gate drops its own
copy at its next refresh; this does not wait for the ledger. Then the fare account is
closed (its rides stay, linked to nobody), and last the rows that name the rider go.
"""

from __future__ import annotations

from flask_babel import gettext as _
from sqlmodel import col, delete

from enrollment.access_log import forget_looks
from enrollment.form import EnrollmentRefused
from enrollment.gallery import data_key_name, move_gallery_version
from enrollment.passes import forget_passes
from enrollment.store import Enrollment
from models.database import forget_old_pages, reading, writing
from models.tables.access_log import OpenCase
from models.tables.riders import Consent, Rider, RiderStation, Template


def erase_rider(enrollment: Enrollment, rider_id: str) -> None:
    """Delete the rider with this reference; raise ``EnrollmentRefused`` if there is none.

    Safe to repeat: if the machine stops half-way, the rider is still listed, already
    unreadable, and erasing them again finishes it.
    """
    with reading(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            raise EnrollmentRefused(
                _("There is no rider %(reference)s; check the reference.", reference=rider_id)
            )
        account_id = rider.account_id
    enrollment.vault.erase(data_key_name(rider_id))
    with writing(enrollment.riders) as session:
        session.exec(delete(Template).where(col(Template.rider_id) == rider_id))
        forget_passes(session, rider_id, enrollment.clock())
        forget_looks(session, rider_id)
        move_gallery_version(session)  # from here on no gate gets the rider, whatever follows
    enrollment.close_account(account_id)
    with writing(enrollment.riders) as session:
        for table in (Consent, RiderStation, OpenCase, Rider):
            session.exec(delete(table).where(col(table.rider_id) == rider_id))
    forget_old_pages(enrollment.riders)
