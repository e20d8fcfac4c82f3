"""A desk with two riders to look at, and what somebody with the database might do to them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime

from enrollment.access_log import record_looks
from enrollment.cases import (
    Case,
)
from enrollment.gallery import data_key_name
from enrollment.store import Enrollment
from models.database import writing
from models.tables.riders import Consent, Rider, RiderStation
from tests.desk import Desk

CASE = Case("question", "asks about the fare")
RIDERS = ("aaaaaaaaaa", "bbbbbbbbbb")


def add_rider(enrollment: Enrollment, rider_id: str, name: str, now: datetime) -> None:
    """A rider who goes by pass, with a guardian."""
    enrollment.vault.create(data_key_name(rider_id))
    with writing(enrollment.riders) as session:
        session.add(
            Rider(
                rider_id=rider_id,
                account_id=rider_id[0] * 32,
                name=name,
                category="adult",
                language="en",
                medium="pass",
                status="active",
                created_at=now,
            )
        )
        session.flush()
        session.add(RiderStation(rider_id=rider_id, station="south"))
        session.add(
            Consent(
                rider_id=rider_id,
                text_id="en-1",
                text_sha256="",
                language="en",
                given_at=now,
                staff="mei",
                guardian="Qponml Guardian",
            )
        )


def look(desk: Desk, rider_id: str = RIDERS[0], case: Case = CASE) -> None:
    """A member of staff looks at a rider's record."""
    record_looks(desk.enrollment.access_log, [rider_id], "mei", "rider", case, desk.now)


def change(desk: Desk, statement: str, *values: object) -> None:
    """What somebody with the database in their hands might do."""
    with closing(sqlite3.connect(desk.data.riders_db)) as database:
        database.execute(statement, values)
        database.commit()
