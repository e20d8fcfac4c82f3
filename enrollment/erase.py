"""Take a face back: delete the rider's data key first, then everything that names them.

Once the data key is gone no copy of the template can be opened, on this machine or in any
backup. The rows follow in one transaction that also moves the gallery version, so that the
gates drop the rider at their next refresh. The fare account is closed on the way: its rides stay in
the ledger, linked to nobody.
"""

from __future__ import annotations

from sqlmodel import col, delete

from enrollment.form import EnrollmentRefused
from enrollment.gallery import data_key_name, move_gallery_version
from enrollment.store import Enrollment
from models.database import forget_old_pages, reading, writing
from models.tables.riders import Consent, Rider, RiderStation, Template


def erase_rider(enrollment: Enrollment, rider_id: str) -> None:
    """Delete the rider with this reference; raise ``EnrollmentRefused`` if there is none.

    Safe to repeat: if the machine stops half-way, the rider is still listed, already
    unreadable, and erasing them again finishes it.
    """
    with reading(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            raise EnrollmentRefused(f"There is no rider {rider_id}; check the reference.")
        account_id = rider.account_id
    enrollment.vault.erase(data_key_name(rider_id))
    enrollment.close_account(account_id)
    with writing(enrollment.riders) as session:
        for table in (Template, Consent, RiderStation, Rider):
            session.exec(delete(table).where(col(table.rider_id) == rider_id))
        move_gallery_version(session)
    forget_old_pages(enrollment.riders)
