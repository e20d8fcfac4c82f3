"""Riders put straight into enrollment's database, with templates made up by a test."""

from __future__ import annotations

import secrets

import numpy as np

from enrollment.gallery import data_key_name, move_gallery_version, seal_digits, seal_template
from models.database import writing
from models.faces.scoring import Vectors
from models.tables.riders import Consent, Rider, RiderStation, Template
from tests.desk import Desk


def unit(seed: int, dimensions: int = 128) -> Vectors:
    """One made-up template."""
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def put_rider(
    desk: Desk, template: Vectors | None, station: str = "south", digits: str | None = None
) -> Rider:
    """A rider of ``station``; without a template one who goes by pass."""
    rider_id, account = secrets.token_hex(5), secrets.token_hex(16)
    engine = desk.enrollment.engine_id
    key = desk.enrollment.vault.create(data_key_name(rider_id))
    rider = Rider(
        rider_id=rider_id,
        account_id=account,
        name="Lin Rider",
        category="adult",
        language="en",
        medium="pass" if template is None else "face",
        status="active",
        created_at=desk.now,
        phone_digits=None if digits is None else seal_digits(key, digits, account),
    )
    with writing(desk.enrollment.riders) as session:
        session.add(rider)
        session.flush()
        session.add(
            Consent(
                rider_id=rider_id, text_id="en-1", text_sha256="0" * 64, language="en",
                given_at=desk.now, staff="mei",
            )
        )  # fmt: skip
        session.add(RiderStation(rider_id=rider_id, station=station))
        if template is not None:
            session.add(
                Template(
                    rider_id=rider_id, engine_id=engine, images=3, created_at=desk.now,
                    sealed=seal_template(key, template, account, engine), quality_note="made up",
                )
            )  # fmt: skip
        move_gallery_version(session, (station,))
    return rider
