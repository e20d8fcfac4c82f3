"""The whole application with something in it worth attacking, and a walker of its forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.datastructures import FileStorage
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from enrollment.rider_sign_in import begin_rider_session
from enrollment.store import Enrollment
from facefare.server import create_app
from facefare.setup import make_data
from ledger.accounts import open_account
from ledger.ledger import Ledger
from models.access.gates import add_gate, provision_gate
from models.access.sessions import begin_session
from models.access.staff import ROLES, new_account
from models.database import reading, writing
from models.settings import DataDirectory
from models.tables.ledger import EntryRow
from models.wire.keys import raw_public
from models.wire.tokens import Request, issue_gate_token
from tests.looking import RIDERS, add_rider
from tests.town import TownGate

Fields = dict[str, list[str]]

ENDING = {"staff.sign_out", "staff.sign_out_everywhere", "rider.sign_out"}
"""Addresses that end the session which the walk needs."""
TYPED = {"text", "search", "password", "email", "tel", "url", "number", "date", "time", "datetime"}


ENDING_FORMS = ("/erase", "/leave", "/reset", "/sign-out", "/sign-out-everywhere", "/disable")
"""Forms after which there is nothing, or nobody, left to try the others with."""
ACCOUNT, OTHER_ACCOUNT = (rider_id[0] * 32 for rider_id in RIDERS)
USUAL = {"account": ACCOUNT, "amount": "1.00", "name": "new-one", "words": "rider", "pin": "",
         "pin_again": "", "about": ACCOUNT, "counted": "1.00"}  # fmt: skip


@dataclass
class PageForm:
    """A form as a browser would send it; ``typed`` are the fields that people write
    into, ``lengths`` how much goes into some of them.
    """

    page: str
    action: str
    method: str
    fields: Fields = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self, here: str) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self._here, self._form, self._choice = here, None, ""

    _form: PageForm | None
    _option: str | None = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = given.get("action") or self._here
            self._form = PageForm(self._here, action, given.get("method", "get").upper())
            self.forms.append(self._form)
        elif self._form is not None:
            self._take(self._form, tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._choice = ""

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._choice and self._option is None and data.strip():
            self._form.fields.setdefault(self._choice, [data.strip()])

    def _take(self, form: PageForm, tag: str, given: dict[str, str]) -> None:
        name, kind = given.get("name", ""), given.get("type", "text")
        form.kinds.add(kind)
        if tag == "select":
            self._choice = name
        elif tag == "option" and self._choice:
            self._option = given.get("value")
            if self._option:
                form.fields.setdefault(self._choice, [self._option])
        elif tag == "textarea" or (tag == "input" and kind in TYPED):
            form.typed.append(name)
            if "maxlength" in given:
                form.lengths[name] = int(given["maxlength"])
        elif tag == "input" and kind == "file":
            form.files.append(name)
        elif tag in ("input", "button") and name and kind != "reset":
            form.fields.setdefault(name, [given.get("value", "on")])


def usual(form: PageForm, **changes: str) -> Fields:
    """Every field that people type into, filled in as they would."""
    return {name: [changes.get(name, USUAL.get(name, "something"))] for name in form.typed}


def forms_on(here: str, page: str) -> list[PageForm]:
    """Every form of a page."""
    reader = _Reader(here)
    reader.feed(page)
    return reader.forms


@dataclass
class Site:
    """The application, two riders, two gates and a member of staff with every role."""

    app: Flask
    data: DataDirectory
    gates: tuple[TownGate, TownGate]

    @property
    def enrollment(self) -> Enrollment:
        found: Enrollment = self.app.extensions["enrollment"]
        return found

    @property
    def ledger(self) -> Ledger:
        found: Ledger = self.app.extensions["ledger"]
        return found

    def staff_token(self) -> str:
        """The token of a new session of the member of staff with every role."""
        return begin_session(self.enrollment.access, "all", datetime.now(UTC))

    def rider_token(self, rider_id: str = RIDERS[0]) -> str:
        """The token of a new session of a rider."""
        return begin_rider_session(self.enrollment, rider_id, datetime.now(UTC))

    def browser(self, rider_id: str = RIDERS[0]) -> FlaskClient:
        """A browser in which staff and a rider have both signed in."""
        client = self.app.test_client()
        with client.session_transaction() as held:
            held["staff"] = self.staff_token()
        client.set_cookie("rider", self.rider_token(rider_id))
        return client

    def bearer(self, gate: TownGate, method: str, path: str, body: bytes, audience: str) -> str:
        """A token of ``gate`` for this one request."""
        bound = Request(method, path, body)
        return issue_gate_token(gate.key, gate.name, audience, bound, datetime.now(UTC))

    def deliver(self, gate: TownGate, *signed: str) -> TestResponse:
        """Send taps as ``gate``."""
        body = json.dumps({"taps": signed}).encode()
        token = self.bearer(gate, "POST", "/api/v1/taps", body, "ledger")
        headers = {"Authorization": f"Bearer {token}"}
        return self.app.test_client().post("/api/v1/taps", data=body, headers=headers)

    def rides(self, account: str | None = None) -> list[str]:
        """The ids of the rides in the ledger, of one account or of all."""
        query = select(EntryRow.entry_id).where(EntryRow.kind == "ride")
        if account is not None:
            query = query.where(EntryRow.account_id == account)
        with reading(self.ledger.engine) as session:
            return list(session.exec(query))

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every (method, rule), but those that end the session."""
        for rule in list(self.app.url_map.iter_rules()):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                if rule.endpoint not in ENDING:
                    yield method, rule

    def pages(self, known: dict[str, Any]) -> Iterator[tuple[str, TestResponse]]:
        """Load every page once, with ``known`` in the places of its address."""
        client = self.browser()
        for method, rule in self.rules():
            if method == "GET":
                with client.get(built(rule, known)) as answer:
                    yield rule.rule, answer

    def all_forms(self, known: dict[str, Any]) -> list[PageForm]:
        """Every form on every page, once for each address it is sent to."""
        found: dict[tuple[str, str, tuple[str, ...]], PageForm] = {}
        for path, answer in self.pages(known):
            if answer.mimetype == "text/html":
                for form in forms_on(path, answer.get_data(as_text=True)):
                    found[form.action, form.method, tuple(form.fields)] = form
        return [form for form in found.values() if form.method == "POST"]

    def send(
        self, form: PageForm, fields: Fields, upload: str = "", client: FlaskClient | None = None
    ) -> TestResponse:
        """Send a form from a new browser, with a small file where one is asked for."""
        given: dict[str, Any] = {**form.fields, **fields}
        for name in form.files if upload else ():
            given[name] = FileStorage(_one_line(), upload, name)
        return (client or self.browser()).post(form.action, data=given)


def _one_line() -> Any:
    from io import BytesIO

    return BytesIO(b"id,day,amount\n1,2026-11-22,=1+1\n")


def built(rule: Rule, known: dict[str, Any]) -> str:
    """The address of ``rule`` with ``known`` values, and something for the others."""
    values = {
        name: known.get(name, {"IntegerConverter": 0, "UUIDConverter": uuid4()}.get(
            type(converter).__name__, "facefare.css"))
        for name, converter in rule._converters.items()
    }  # fmt: skip
    address = rule.build(values)
    assert address is not None
    return address[1]


def make_site(path: Path, stripe_keys: str = "", **how: Any) -> Site:
    """A new operator in ``path``; forms need no CSRF token, which other tests look at."""
    data = DataDirectory(path / "data")
    make_data(data, "Test Transit", "fares.example/test")
    if stripe_keys:
        (data.keys / "stripe.toml").write_text(stripe_keys, encoding="utf-8")
    app = create_app(data, **how)
    app.config["WTF_CSRF_ENABLED"] = False
    enrollment: Enrollment = app.extensions["enrollment"]
    now = datetime.now(UTC)
    with writing(enrollment.access) as session:
        session.add(new_account("all", ROLES, now))
    site = Site(app, data, (TownGate("south-1"), TownGate("south-2")))
    for gate in site.gates:
        code = add_gate(enrollment.access, gate.name, gate.station, gate.direction, now)
        box = raw_public(X25519PrivateKey.generate().public_key())
        provision_gate(enrollment.access, code, raw_public(gate.key.public_key()), box, now)
    for rider_id in RIDERS:
        add_rider(enrollment, rider_id, f"Rider {rider_id}", now)
        open_account(site.ledger, rider_id[0] * 32)
    return site
