"""A day at the desk, at a gate and on a rider's telephone, logged as loudly as can be.

Nothing that opens something, and nothing that names somebody, is in what was written. (The
database library alone stays one step quieter: its DEBUG prints every row it reads.)
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import io
import json
import logging
import re
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.gallery import data_key_name, open_template
from facefare.server import create_app
from facefare.setup import make_data
from gate.decision import Open
from gate.errors import DoorError
from gate.identity import GateIdentity
from gate.outbox import Outbox
from gate.presented import PresentedDigits
from gate.second_factor import PassAndDigits
from gate.settings import DoorSettings
from ledger.processors.cards import top_up_by_card
from ledger.processors.cashier import Cashier, open_processor
from ledger.processors.keeping import keep_card
from ledger.processors.protocol import Card, WebhookRefused
from models.access.gates import add_gate
from models.access.invitations import invite_staff, join_path
from models.access.staff import add_staff
from models.database import reading
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.money import Money
from models.settings import DataDirectory
from models.tables.riders import Rider, Template
from models.wire.keys import base64url, raw_public
from tests.attack_site import PageForm, Site, forms_on, make_site
from tests.desk import FIRST, FIRST_AGAIN, photo, uploads
from tests.door_told import wait_for
from tests.test_bounded import Serving, serving
from tests.test_gate_faults import SEEN, gate, identity, refresh, sealed, serve, server, shown
from tests.test_gate_sync import says
from tests.test_outbox import make_tap
from tests.town import TownGate, make_town

__all__ = ["identity", "server", "serving"]  # fixtures

PASSWORDS = ("seven purple words in a row", "eight yellow words in a row")
NAME, GUARDIAN, PIN, DIGITS = "Xantippe Quillfeather", "Olof Quillfeather", "493817", "8264"
"""Digits of four are looked for as a form would send them, because any number may hold them."""


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that any part of the program logs, with the traces of errors."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root, quiet = logging.getLogger(), logging.getLogger("sqlalchemy")
    before = root.level, quiet.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    quiet.setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(before[0])
    quiet.setLevel(before[1])


class Day:
    """What happens on the site, and every secret that was in play."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.secrets: dict[str, str] = {}
        self._keep("session key", site.data.session_key.read_bytes())
        self._keep_private("gate's key", site.gates[0].key)
        self._keep_private("enrollment's key", site.enrollment.signing_key)

    def _keep(self, name: str, value: bytes) -> None:
        self.secrets[f"{name} in base64"] = base64.b64encode(value).decode().rstrip("=")
        self.secrets[f"{name} in base64url"] = base64url(value)
        self.secrets[f"{name} in hex"] = value.hex()
        self.secrets[f"{name} as Python shows it"] = repr(value)[2:-1]

    def _keep_private(self, name: str, key: Ed25519PrivateKey) -> None:
        self._keep(name, key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    def send(self, client: FlaskClient, page: str, at: str, **typed: Any) -> TestResponse:
        """Fill in the form of ``page`` that goes to ``at``."""
        forms = forms_on(page, client.get(page).get_data(as_text=True))
        [form] = [one for one in forms if one.action == at and one.method == "POST"]
        return client.post(at, data={**_filled(form), **typed})

    def staff_come_to_work(self) -> FlaskClient:
        """One signs in, after a slip; another opens a one-time link."""
        enrollment, now = self.site.enrollment, datetime.now(UTC)
        added = add_staff(enrollment.staff, "mei", PASSWORDS[0], ["enroller", "finance"], now)
        self.secrets |= {"password": PASSWORDS[0], "TOTP secret": added.totp_secret}
        client, code = self.site.app.test_client(), pyotp.TOTP(added.totp_secret).now()
        self.secrets["one-time code"] = f"'{code}'"
        for password in ("a wrong one of some length", PASSWORDS[0]):
            given = {"name": "mei", "password": password, "code": code}
            self.send(client, "/staff/sign-in", "/staff/sign-in", **given)
        with client.session_transaction() as held:
            self.secrets["staff's session"] = held["staff"]
        self._join(invite_staff(enrollment.staff, "new-one", ["auditor"], now))
        return client

    def _join(self, token: str) -> None:
        client, path = self.site.app.test_client(), join_path(token)
        page = client.get(path).get_data(as_text=True)
        [secret] = re.findall(r"<code>([A-Z2-7]{32})</code>", page)
        self.secrets |= {"link": token, "password of the new": PASSWORDS[1], "TOTP": secret}
        given = {"password": PASSWORDS[1], "again": PASSWORDS[1], "code": pyotp.TOTP(secret).now()}
        done = self.send(client, path, path, **given).get_data(as_text=True)
        codes = re.findall(r"[0-9](?:-[a-z2-9]{4}){3}", done)
        assert len(codes) == 10, done
        self.secrets |= {f"recovery code {number}": code for number, code in enumerate(codes)}

    def a_rider_enrolls(self, desk: FlaskClient) -> Rider:
        """With two photographs, and with none first."""
        typed = {"name": NAME, "guardian": GUARDIAN, "phone_digits": DIGITS, "pin": PIN,
                 "pin_again": PIN, "stations": ["south"]}  # fmt: skip
        for photos in ([], uploads([photo(FIRST), photo(FIRST_AGAIN)])):
            answer = self.send(desk, "/enrollment/new", "/enrollment/new", **typed, photos=photos)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        desk.get(answer.location)
        desk.post("/enrollment/", data={"words": NAME, "reason": "question", "note": GUARDIAN})
        with reading(self.site.enrollment.riders) as session:
            rider = session.exec(select(Rider).where(Rider.name == NAME)).one()
            kept = session.exec(select(Template)).one()
            session.expunge_all()
        key = self.site.enrollment.vault.key(data_key_name(rider.rider_id))
        template = open_template(key, kept.sealed, rider.account_id, kept.engine_id)
        self._keep("template", template[:60])
        self.secrets["template's first number"] = str(struct.unpack("<f", template[:4])[0])[:9]
        self.secrets |= {"name": NAME, "guardian": GUARDIAN, "PIN": PIN, "digits": f"'{DIGITS}'"}
        return rider

    def the_rider_looks(self, rider: Rider) -> None:
        """Signs in to the own pages after a slip, and takes a pass."""
        client = self.site.app.test_client()
        for pin in ("111222", PIN):
            given = {"pass": rider.rider_id, "pin": pin}
            self.send(client, "/me/sign-in", "/me/sign-in", **given)
        cookie = client.get_cookie("rider")
        assert cookie is not None
        self.secrets["rider's session"] = cookie.value
        for path in ("/me/", "/me/data", "/me/rides", "/me/looks"):
            assert client.get(path).status_code == 200
        client.post("/me/pass")

    def gates_work(self, rider: Rider) -> None:
        """One is provisioned, another sends taps, a stranger tries both."""
        code = add_gate(self.site.enrollment.access, "west-1", "south", "in", datetime.now(UTC))
        self.secrets["provisioning code"] = code
        keys = [base64url(raw_public(Ed25519PrivateKey.generate().public_key())) for _ in "12"]
        body = {"code": code, "public_key": keys[0], "box_key": keys[1]}
        self.site.app.test_client().post("/api/v1/gates/provision", data=json.dumps(body))
        gate = self.site.gates[0]
        for signed in (gate.tap(rider.account_id), "no.tap.this", TownGate("x").tap("0" * 32)):
            assert self.site.deliver(gate, signed).status_code == 200
        token = self.site.bearer(gate, "GET", "/api/v1/gallery", b"", "enrollment")
        self.secrets["gate's token"] = token.rpartition(".")[2]
        headers = {"Authorization": f"Bearer {token}"}
        statuses = [
            self.site.app.test_client().get("/api/v1/gallery", headers=headers).status_code
            for _ in range(2)
        ]
        assert statuses == [200, 401]

    def things_break(self, desk: FlaskClient) -> None:
        """The program fails under a request that carries secrets, and the database too."""

        def breaks(token: str) -> str:
            raise RuntimeError("a mistake of ours")

        self.site.app.view_functions["staff.join"] = breaks
        assert desk.get(join_path(self.secrets["link"])).status_code == 500
        with closing(sqlite3.connect(self.site.data.riders_db)) as database:
            database.execute(
                "CREATE TRIGGER broken BEFORE UPDATE ON rider "
                "BEGIN SELECT RAISE(ABORT, 'broken for the test'); END"
            )
            database.commit()
        path = f"/enrollment/riders/{self.secrets['reference']}"
        desk.post(f"{path}/open", data={"reason": "question", "note": ""})
        broken = desk.post(f"{path}/pin", data={"pin": "604172", "pin_again": "604172"})
        assert broken.status_code == 500
        self.secrets["new PIN"] = "604172"


def _filled(form: PageForm) -> dict[str, Any]:
    return {name: values[0] for name, values in form.fields.items()}


def test_a_day_leaves_no_secret_and_no_name_in_the_logs(
    tmp_path: Path, written: io.StringIO
) -> None:
    day = Day(make_site(tmp_path))
    desk = day.staff_come_to_work()
    rider = day.a_rider_enrolls(desk)
    day.the_rider_looks(rider)
    day.gates_work(rider)
    day.secrets["reference"] = rider.rider_id
    day.things_break(desk)
    text = written.getvalue()
    assert "INSERT INTO rider" in text and "a mistake of ours" in text  # it was loud
    assert "broken for the test" in text
    assert all(len(secret) >= 6 for secret in day.secrets.values())
    assert [name for name, secret in day.secrets.items() if secret in text] == []


# The gate's program, which has secrets of its own.

DOOR_SECRET = "a secret of a door 5Yq"
DRIVERS = {
    "bearer": {"driver": "http", "auth": "bearer"},
    "hmac": {"driver": "http", "auth": "hmac"},
    "mqtt": {"driver": "mqtt", "topic": "door", "username": "south-1"},
}


def gates_secrets(identity: GateIdentity) -> dict[str, str]:
    """What is kept at a gate and told to nobody's log."""
    keys = {"signing key": identity.signing_key, "box key": identity.box_key}
    raw = {
        name: key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        for name, key in keys.items()
    }
    template = np.eye(1, 128, dtype="<f4").tobytes()
    signed = hmac.new(DOOR_SECRET.encode(), b"", "sha256").hexdigest()
    return {
        **{name: base64url(value) for name, value in raw.items()},
        **{f"{name} in hex": value.hex() for name, value in raw.items()},
        "template": base64.b64encode(template)[:40].decode(),
        "door's secret": DOOR_SECRET,
        "door's signature": signed,
        "account": "a" * 32,
        "digits": "'4711'",
        "tokens": "Bearer ",
        "what is signed begins so": "eyJ",
    }


@pytest.mark.parametrize("door", DRIVERS)
def test_a_gates_program_leaves_no_secret_and_no_account_in_its_logs(
    identity: GateIdentity, engine: DlibEngine, written: io.StringIO, serving: Serving, door: str
) -> None:
    identity.door_secret_path.write_text(DOOR_SECRET, encoding="utf-8")
    identity.door_secret_path.chmod(0o600)
    refuses = serving(lambda: iter([b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"])).url
    at = "broker" if door == "mqtt" else "url"
    given: dict[str, Any] = {**DRIVERS[door], at: refuses.replace("http", door, 1)}
    if door != "mqtt":
        given[at] = refuses
    settings = DoorSettings(**given)
    file = identity.file.model_copy(update={"door": settings})
    with gate(replace(identity, file=file), engine) as made:
        serve(sealed(identity, 1))
        refresh(made)
        only_recognised = made._knowledge.matcher
        assert only_recognised is not None
        for medium in ("pass", "face+pass"):
            assert isinstance(shown(made._knowledge, medium), Open)
        factor = PassAndDigits(lambda: made._knowledge.claims, lambda: datetime.now(UTC))
        factor.decide(PresentedDigits("4711"), SEEN)
        wait_for(lambda: "not answered yet" not in made.loop._door.fault)
        with pytest.raises(DoorError):
            made.loop._door.open("a" * 32)
        outbox = Outbox(identity.outbox_path)
        outbox.append(make_tap, identity.signing_key)
        for status, body in ((500, b"<html>"), (200, b"{}"), (401, b"{}"), (302, b"")):
            says(status, body)
            refresh(made)
            with contextlib.suppress(FacefareError):
                made._deliver_once()
        for broken in (b"nonsense", sealed(identity, 2)[:-9], sealed(identity, 3, "onnx:other")):
            serve(broken)
            refresh(made)
        try:
            raise RuntimeError("a mistake of ours")
        except RuntimeError:
            logging.getLogger("gate").exception("the gate goes on")
    text = written.getvalue()
    assert "httpcore" in text and "a mistake of ours" in text  # it was loud
    assert "door" in text
    assert [name for name, secret in gates_secrets(identity).items() if secret in text] == []


# Other people's keys that stand in settings.


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://facefare:pw-77-of-db@127.0.0.1:1/fares",
        "postgresql://facefare@127.0.0.1:1/fares?password=pw-77-of-db",
        "postgresql://facefare:pw-77-of-db@127.0.0.1:no-port/fares",
        "postgresql://facefare:pw-77-of-db@127.0.0.1/fares?no_such_option=1",
        "postgres://facefare:pw-77-of-db@127.0.0.1:1/fares",
    ],
)
def test_the_databases_password_is_in_no_message_and_no_log(
    tmp_path: Path, written: io.StringIO, url: str
) -> None:
    data = DataDirectory(tmp_path / "data")
    make_data(data, "Test Transit", "fares.example/test")
    settings = data.settings_file.read_text(encoding="utf-8")
    data.settings_file.write_text(f'fares_url = "{url}"\n{settings}', encoding="utf-8")
    with pytest.raises(FacefareError) as caught:
        create_app(data)
    logging.getLogger("facefare").exception("cannot start", exc_info=caught.value)
    assert "cannot start" in written.getvalue()
    assert "pw-77-of-db" not in f"{caught.value} {written.getvalue()}"


def test_a_processors_keys_are_in_no_message_and_no_log(
    tmp_path: Path, written: io.StringIO, serving: Serving
) -> None:
    keys = {"secret key": "sk_test_4eC39HqLyjWD", "webhook secret": "whsec_9f2K0aQ7"}
    town = make_town(tmp_path / "data")
    file, said = town.data.keys / "stripe.toml", []
    refusal = b'{"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}'
    head = b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    url = serving(lambda: iter([head % len(refusal) + refusal])).url
    good = 'secret_key = "{secret key}"\nwebhook_secret = "{webhook secret}"\n'.format(**keys)
    for text in (good.replace("sk_", "pk_"), f"{good}more = 1\n", f"{good}broken", f"{good}{good}"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(FacefareError) as caught:
            open_processor(town.data)
        logging.getLogger("facefare").exception("cannot start", exc_info=caught.value)
        said.append(str(caught.value))
    file.write_text(f'{good}address = "{url}"\n', encoding="utf-8")
    processor, account = open_processor(town.data), town.account()
    assert processor is not None
    keep_card(town.ledger, account, processor.name, Card("cus_1", "pm_1", "visa", "4242", 12, 2099))
    top_up_by_card(town.ledger, account, Money(1000, "CNY"), str(uuid4()))
    Cashier(town.ledger, processor)._work()
    with pytest.raises(WebhookRefused) as refused:
        processor.read_event(b"{}", "t=1,v1=00", datetime.now(UTC))
    text = " ".join([*said, str(refused.value), written.getvalue()])
    assert "stripe takes no orders" in text and url.rpartition(":")[2] in text  # it was loud
    assert [name for name, key in keys.items() if key.partition("_")[2] in text] == []


def test_a_secret_that_is_logged_is_seen(written: io.StringIO) -> None:
    logging.getLogger("enrollment").debug("signed in with %s", PASSWORDS[0])
    assert PASSWORDS[0] in written.getvalue()
