"""A whole operator with a rider who has a PIN, a pass, a face template and rides in the ledger."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.gallery import data_key_name, move_gallery_version, seal_digits, seal_template
from enrollment.passes import IssuedPass, issue_pass
from enrollment.rider_sign_in import begin_rider_session
from enrollment.store import Enrollment
from facefare.server import create_app
from facefare.setup import make_data
from ledger.accounts import open_account
from ledger.answers import Accepted
from ledger.charge import charge_taps
from ledger.checkpoints import publish
from ledger.ledger import Ledger
from ledger.topups import top_up
from ledger.verify import verify
from models.access.sessions import begin_session
from models.access.staff import new_account
from models.database import reading, writing
from models.log.receipts import check_receipt
from models.money import Money
from models.settings import DataDirectory
from models.tables.ledger import EntryRow
from models.tables.riders import Consent, Rider, RiderStation, Template
from models.wire.times import format_utc
from tests.pass_riders import unit
from tests.town import TownGate, open_drawers

PIN = "493817"
PIN_HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PIN)


@dataclass
class Clock:
    """The time of the application; it stands still until it is moved."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **how: float) -> None:
        self.now += timedelta(**how)


class City:
    """One operator's data directory and application; riders are put straight into the tables."""

    def __init__(
        self,
        path: Path,
        change_settings: Callable[[str], str] = lambda text: text,
        files: Mapping[str, str] = MappingProxyType({}),
        **how: Any,
    ) -> None:
        self.data = DataDirectory(path / "data")
        make_data(self.data, "Test Transit", "fares.example/test")
        settings = change_settings(self.data.settings_file.read_text(encoding="utf-8"))
        self.data.settings_file.write_text(settings, encoding="utf-8")
        for name, text in files.items():
            (self.data.path / name).write_text(text, encoding="utf-8")
        self.clock = Clock()
        self.app: Flask = create_app(self.data, clock=self.clock, **how)
        self.enrollment: Enrollment = self.app.extensions["enrollment"]
        self.ledger: Ledger = self.app.extensions["ledger"]
        open_drawers(self.ledger, "mei")
        self.gate = TownGate()

    def rider(self, name: str = "Lin Rider", medium: str = "face") -> Rider:
        """A rider with everything a rider can have but a pass."""
        rider_id, account = secrets.token_hex(5), secrets.token_hex(16)
        enrollment = self.enrollment
        open_account(self.ledger, account)
        key = enrollment.vault.create(data_key_name(rider_id))
        engine = enrollment.engine_id
        rider = Rider(
            rider_id=rider_id, account_id=account, name=name, category="adult", language="en",
            medium=medium, status="active", created_at=self.clock(), pin_hash=PIN_HASH,
            phone_digits=seal_digits(key, "4711", account),
        )  # fmt: skip
        with writing(enrollment.riders) as session:
            session.add(rider)
            session.flush()
            session.add(Consent(rider_id=rider_id, text_id="en-1", text_sha256="0" * 64,
                                language="en", given_at=self.clock(), staff="mei"))  # fmt: skip
            session.add(RiderStation(rider_id=rider_id, station="south"))
            if medium == "face":
                sealed = seal_template(key, unit(7), account, engine)
                session.add(Template(rider_id=rider_id, engine_id=engine, images=3, sealed=sealed,
                                     created_at=self.clock(), quality_note="made up"))  # fmt: skip
            move_gallery_version(session)
        return rider

    def hold(self, rider: Rider) -> IssuedPass:
        """The pass that the rider takes home from the desk."""
        return issue_pass(self.enrollment, rider.rider_id, "pass", self.clock())

    def pay(self, rider: Rider, minor: int = 5000) -> None:
        amount = Money(minor, self.ledger.settings.currency)
        top_up(self.ledger, rider.account_id, amount, str(uuid4()), "mei")

    def ride(self, rider: Rider) -> str:
        """Let the rider through a gate; the ride's id. It is not signed for yet."""
        self.clock.forward(seconds=1)
        at = format_utc(self.clock())
        tap = self.gate.next_tap(rider.account_id, at=at)
        registered = {self.gate.name: self.gate.registered}.get
        (answer,) = charge_taps(self.ledger, self.gate.name, [self.gate.sign(tap)], registered)
        assert isinstance(answer, Accepted), answer
        return tap.tap_id

    def sign_log(self) -> None:
        publish(self.ledger)

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def signed_in(self, rider: Rider) -> FlaskClient:
        client = self.browser()
        answer = sign_in(client, rider.rider_id)
        assert answer.status_code == 303, answer.text
        return client

    def close(self) -> None:
        for engine in (self.enrollment.riders, self.enrollment.access, self.ledger.engine):
            engine.dispose()


def sign_in(client: FlaskClient, who: str, pin: str = PIN, **more: Any) -> TestResponse:
    """Fill in the rider's sign-in page."""
    return post(client, "/me/sign-in", {"pass": who, "pin": pin, **more})


def post(
    client: FlaskClient, path: str, given: dict[str, Any], page: str = "/me/sign-in"
) -> TestResponse:
    """Send a form with the CSRF token of ``page``."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert token is not None
    return client.post(path, data={**given, "csrf_token": token[1]})


def new_rider_session(enrollment: Enrollment, ledger: Ledger) -> str:
    """A rider who has no more than a name and an account, signed in; the session's token."""
    rider_id, account = secrets.token_hex(5), secrets.token_hex(16)
    open_account(ledger, account)
    enrollment.vault.create(data_key_name(rider_id))
    now = enrollment.clock()
    with writing(enrollment.riders) as session:
        session.add(
            Rider(
                rider_id=rider_id, account_id=account, name="Example Rider", category="adult",
                language="en", medium="pass", status="active", created_at=now,
            )
        )  # fmt: skip
    return begin_rider_session(enrollment, rider_id, now)


def staff_browser(city: City, *roles: str) -> FlaskClient:
    """A browser in which a new member of staff with ``roles`` is signed in."""
    name = f"staff-{'-'.join(roles)}"
    with writing(city.enrollment.access) as session:
        session.add(new_account(name, roles, city.clock()))
    client = city.browser()
    with client.session_transaction() as held:
        held["staff"] = begin_session(city.enrollment.access, name, city.clock())
    return client


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def proved(city: City, receipt: str) -> dict[str, Any]:
    """The entry that a receipt proves under the log's own key."""
    key = city.ledger.log_key.public_key()
    body, _ = check_receipt(receipt, city.ledger.settings.origin, key)
    value: dict[str, Any] = json.loads(body)
    return value


def check_books(city: City) -> None:
    """The whole log verifies, and every balance with it."""
    ledger = city.ledger
    verify(ledger.engine, ledger.settings.origin, ledger.log_key.public_key(), vault=ledger.vault)


def rides_of(city: City, rider: Rider) -> list[str]:
    """The ids of the rider's rides."""
    with reading(city.ledger.engine) as session:
        query = select(EntryRow.entry_id).where(
            EntryRow.account_id == rider.account_id, EntryRow.kind == "ride"
        )
        return list(session.exec(query))
