"""An enrollment desk for tests: real databases, vault, engine and Flask application."""

from __future__ import annotations

import io
import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, DictLoader
from PIL import Image
from sqlmodel import select
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from enrollment.app import create_blueprints
from enrollment.category_port import Categories, CategoryDays
from enrollment.consent_texts import current_consent
from enrollment.form import EnrollForm, read_form
from enrollment.store import Enrollment, create_stores
from enrollment.uploads import REQUEST_BYTES_MAX, UploadsInMemory
from facefare import languages, problems
from models.access.gates import GateRegister, add_gate, provision_gate
from models.access.staff import NewStaff, add_staff
from models.access.web import keep_sessions
from models.database import reading
from models.faces.dlib_engine import DlibEngine
from models.faces.liveness_pair import LivenessPair
from models.settings import TEMPLATE, DataDirectory, make_directories
from models.tables.access_log import AccessEntry
from models.tables.riders import RidersTable
from models.wire.keys import raw_public
from models.wire.tokens import Request, issue_gate_token
from tests.conftest import DATA, missing

PASSWORD = "four quiet words here"
LAYOUT = (
    "<!doctype html><title>{% block title %}{% endblock %}</title>{% block content %}{% endblock %}"
)
PROBLEM = '<p class="problem">{{ detail }}</p>'

# Two photographs of one person, one of another, one with two people, a landscape.
FIRST, FIRST_AGAIN = "clips/stage/obama.jpg", "clips/stage/obama2.jpg"
OTHER = "clips/stage/biden.jpg"
TWO_PEOPLE = "clips/stage/two_people.jpg"
NOBODY = "faces/quality/bulk/view.jpg"
BLURRED = "faces/quality/bulk/blur.jpg"

load_engine = cache(DlibEngine.load)


@cache
def load_pair() -> LivenessPair | None:
    """What tells prints from people, where its weights are here."""
    return LivenessPair.load(DATA / "models") if (DATA / "models").is_dir() else None


def photo(name: str) -> bytes:
    """A real photograph, or a skip that says what is missing."""
    file = DATA / name
    if not file.is_file():
        missing(f"the photograph {file} (set FACEFARE_TEST_DATA)")
    return file.read_bytes()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture made by a test."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def form(**changes: Any) -> EnrollForm:
    """A form without a fault, but for ``changes``."""
    return read_form({**fields(), "consent_given": True, **changes})


def fields() -> dict[str, Any]:
    """The fields of a page without a fault."""
    return {
        "name": "Lin Rider",
        "category": "adult",
        "language": "en",
        "age_group": "14-or-over",
        "pin": "284917",
        "pin_again": "284917",
        "stations": ["south"],
        "consent_text": current_consent("en").text_id,
        "consent_given": "yes",
    }


@dataclass
class TestGate:
    """A gate with its own keys, as the register knows it."""

    __test__ = False

    name: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    box_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def get(self, client: FlaskClient, path: str) -> TestResponse:
        token = issue_gate_token(
            self.key, self.name, "enrollment", Request("GET", path, b""), datetime.now(UTC)
        )
        return client.get(path, headers={"Authorization": f"Bearer {token}"})


class Desk:
    """One operator's enrollment in ``path``; ``opened`` lists the fare accounts asked for."""

    def __init__(self, path: Path) -> None:
        self.data = DataDirectory(path / "data")
        make_directories(self.data)
        settings = TEMPLATE.format(operator="Test Metro", origin="fares.example/test")
        self.data.settings_file.write_text(settings, encoding="utf-8")
        create_stores(self.data, "fares.example/test")
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.enrollment = Enrollment.open(
            self.data,
            DlibEngine.engine_id,
            DlibEngine.dimensions,
            load_engine,
            lambda account, category: self.opened.append(account),
            self.closed.append,
            Categories(ahead=self.category_days, change=self.change_category),
            "fares.example/test+key",
            lambda: self.now,
            load_pair,
        )
        self.register = GateRegister(self.enrollment.access)
        self.app = self._application()

    def _application(self) -> Flask:
        app = Flask(__name__)
        app.request_class = UploadsInMemory
        app.config.update(SECRET_KEY=os.urandom(32), MAX_CONTENT_LENGTH=REQUEST_BYTES_MAX)
        app.jinja_loader = ChoiceLoader(
            [DictLoader({"layout.html": LAYOUT, "problem.html": PROBLEM})]
        )
        keep_sessions(app, self.enrollment.access, lambda: self.now)
        languages.speak(app)
        csrf = CSRFProtect(app)
        for blueprint in create_blueprints(self.enrollment, self.register):
            app.register_blueprint(blueprint)
            if blueprint.name == "enrollment_api":
                csrf.exempt(blueprint)
        app.add_url_rule("/", "home", lambda: "home")
        problems.register(app)
        return app

    def category_days(self, account: str) -> tuple[CategoryDays, ...]:
        """What the ledger would say of an account that was opened as an adult's."""
        return (CategoryDays("adult", self.now.date(), None),)

    def change_category(self, account: str, category: str, staff: str, until: date | None) -> None:
        """There is no ledger here; tests/test_categories.py has one."""
        raise AssertionError("no test of the desk alone changes a category")

    def close(self) -> None:
        self.enrollment.riders.dispose()
        self.enrollment.access.dispose()

    def add_staff(self, name: str, *roles: str) -> NewStaff:
        return add_staff(self.enrollment.staff, name, PASSWORD, roles, self.now)

    def add_gate(self, name: str, station: str = "south") -> TestGate:
        gate = TestGate(name)
        code = add_gate(self.enrollment.access, name, station, "in", self.now)
        keys = raw_public(gate.key.public_key()), raw_public(gate.box_key.public_key())
        provision_gate(self.enrollment.access, code, *keys, self.now)
        return gate

    def signed_in(self, *roles: str) -> FlaskClient:
        """A browser in which a new member of staff with ``roles`` has signed in."""
        member = self.add_staff(f"staff-{'-'.join(roles)}", *roles)
        client = self.app.test_client()
        answer = sign_in(client, member, self.now)
        assert answer.status_code == 303
        return client

    def rows(self) -> int:
        """How many rows the riders database holds, in all its tables."""
        with reading(self.enrollment.riders) as session:
            log = AccessEntry.metadata.tables["access_entry"]  # outlives the riders it tells of
            tables = [table for table in RidersTable.metadata.sorted_tables if table is not log]
            return sum(len(session.exec(select(table)).all()) for table in tables)

    def files(self) -> set[str]:
        """Every file of the data directory, but for the databases' own journals."""
        found = (file for file in self.data.path.rglob("*") if file.is_file())
        return {
            file.name
            for file in found
            if not file.name.endswith(("-wal", "-shm", "-journal", "-line"))
        }

    def data_keys(self) -> list[str]:
        """The names of the data keys in the vault."""
        with closing(sqlite3.connect(self.data.vault / "data-keys.sqlite")) as vault:
            return [row[0] for row in vault.execute("SELECT name FROM data_key")]


def sign_in(client: FlaskClient, member: NewStaff, now: datetime, **changes: str) -> TestResponse:
    """Fill in the sign-in page as a browser does."""
    code = pyotp.TOTP(member.totp_secret).at(now)
    given = {"name": member.name, "password": PASSWORD, "code": code, **changes}
    return post(client, "/staff/sign-in", given)


def post(
    client: FlaskClient, path: str, given: dict[str, Any], page: str | None = None
) -> TestResponse:
    """Load the page with the form, then send it with the page's own CSRF token."""
    shown = client.get(page or path).get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', shown)
    assert token is not None
    # Encoded here, because the test client would write a larger body to a temporary file.
    boundary, body = encode_multipart({**given, "csrf_token": token[1]})
    return client.post(path, data=body, content_type=f'multipart/form-data; boundary="{boundary}"')


def uploads(photos: Iterable[bytes]) -> list[FileStorage]:
    """Photos as a browser sends them; the name says nothing about the contents."""
    return [
        FileStorage(io.BytesIO(data), f"photo-{position}.jpg", content_type="image/jpeg")
        for position, data in enumerate(photos, start=1)
    ]
