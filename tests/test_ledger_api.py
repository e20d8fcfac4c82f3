"""The ledger over HTTP: gates with real tokens, readers without any."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ledger.app import create_blueprints
from ledger.checkpoints import publish
from models.access.gates import GateRegister, add_gate, provision_gate, revoke_gate
from models.database import open_sqlite
from models.errors import FacefareError
from models.log.notes import check_checkpoint
from models.tables.access import AccessTable
from models.wire.keys import raw_public
from models.wire.tokens import Request, TokenRefused, issue_gate_token
from tests.town import ORIGIN, Town, make_town


class GateClient:
    """Speaks to the application as one provisioned gate."""

    def __init__(self, client: FlaskClient, gate: str, key: Ed25519PrivateKey) -> None:
        self.client, self.gate, self.key = client, gate, key

    def token(self, method: str, path: str, body: bytes, audience: str = "ledger") -> str:
        bound = Request(method, path, body)
        return issue_gate_token(self.key, self.gate, audience, bound, datetime.now(UTC))

    def post(self, body: bytes, token: str | None = None) -> TestResponse:
        token = token or self.token("POST", "/api/v1/taps", body)
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.post("/api/v1/taps", data=body, headers=headers)

    def taps(self, *signed: str) -> list[dict[str, Any]]:
        response = self.post(json.dumps({"taps": signed}).encode())
        assert response.status_code == 200, response.text
        answers = response.get_json()["answers"]
        assert isinstance(answers, list)
        return answers

    def standings(self) -> dict[str, Any]:
        token = self.token("GET", "/api/v1/standings", b"")
        response = self.client.get(
            "/api/v1/standings", headers={"Authorization": f"Bearer {token}"}
        )
        assert response.status_code == 200
        value = response.get_json()
        assert isinstance(value, dict)
        return value


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def gate(town: Town) -> GateClient:
    access = open_sqlite(town.data.access_db, AccessTable.metadata, create=True)
    now = datetime.now(UTC)
    code = add_gate(access, town.gate.name, town.gate.station, town.gate.direction, now)
    box = raw_public(X25519PrivateKey.generate().public_key())
    provision_gate(access, code, raw_public(town.gate.key.public_key()), box, now)
    app = Flask(__name__)
    for blueprint in create_blueprints(town.ledger, GateRegister(access)):
        app.register_blueprint(blueprint)

    @app.errorhandler(FacefareError)
    def tell(error: FacefareError) -> tuple[str, int]:
        return str(error), 401 if isinstance(error, TokenRefused) else 400

    return GateClient(app.test_client(), town.gate.name, town.gate.key)


def test_each_tap_gets_its_own_answer_in_order(town: Town, gate: GateClient) -> None:
    account = town.account()
    first = town.gate.tap(account)
    accepted, refused, replayed = gate.taps(first, "nonsense", first)
    assert accepted == {
        "status": "accepted",
        "tap_id": accepted["tap_id"],
        "entry": 0,
        "chain": "ok",
        "charge": {
            "amount": {"currency": "CNY", "minor": 200},
            "rule": "leg_from",
            "words": "Flat fare, from South Gate: CN¥2.00.",
        },
    }
    assert refused["status"] == "refused"
    assert refused["problem"]["type"] == "urn:facefare:tap-refused"
    assert set(refused["problem"]) == {"type", "title", "detail", "status"}
    assert replayed == {**accepted, "status": "replayed"}


def test_a_quarantined_tap_is_told_as_such(town: Town, gate: GateClient) -> None:
    (answer,) = gate.taps(town.gate.tap(town.account(), prev="ab" * 32))
    assert answer["status"] == "quarantined"
    assert answer["problem"]["type"] == "urn:facefare:tap-fork"


def test_no_token_no_charge(town: Town, gate: GateClient) -> None:
    body = json.dumps({"taps": [town.gate.tap(town.account())]}).encode()
    other_key = GateClient(gate.client, gate.gate, Ed25519PrivateKey.generate())
    refused = [
        gate.client.post("/api/v1/taps", data=body),
        gate.post(body, "nonsense"),
        gate.post(body, gate.token("POST", "/api/v1/taps", body, audience="enrollment")),
        gate.post(body, gate.token("POST", "/api/v1/taps", b"{}")),
        gate.post(body, gate.token("POST", "/api/v1/standings", body)),
        gate.post(body, gate.token("GET", "/api/v1/taps", body)),
        gate.post(body, other_key.token("POST", "/api/v1/taps", body)),
        gate.client.get("/api/v1/standings"),
    ]
    assert [response.status_code for response in refused] == [401] * len(refused)
    assert gate.taps(*json.loads(body)["taps"])[0]["status"] == "accepted"


def test_a_token_is_good_once(town: Town, gate: GateClient) -> None:
    body = json.dumps({"taps": [town.gate.tap(town.account())]}).encode()
    token = gate.token("POST", "/api/v1/taps", body)
    assert gate.post(body, token).status_code == 200
    assert gate.post(body, token).status_code == 401


def test_a_revoked_gate_is_not_heard(town: Town, gate: GateClient) -> None:
    access = open_sqlite(town.data.access_db, AccessTable.metadata)
    revoke_gate(access, gate.gate, datetime.now(UTC))
    body = json.dumps({"taps": [town.gate.tap(town.account())]}).encode()
    assert gate.post(body).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"taps": "x"}',
        b'{"taps": [1]}',
        b'{"taps": ["x"], "more": 1}',
        b'{"taps": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"taps": ["x"] * 513}).encode(),
    ],
)
def test_a_request_that_is_not_a_list_of_taps_says_what_to_send(
    gate: GateClient, body: bytes
) -> None:
    response = gate.post(body)
    assert response.status_code == 400
    assert "send" in response.text


def test_a_body_larger_than_any_batch_is_not_read(gate: GateClient) -> None:
    assert gate.post(b'{"taps": ["' + b"x" * 3_000_000 + b'"]}').status_code == 413


def test_gates_learn_who_is_blocked_and_why(town: Town, gate: GateClient) -> None:
    assert gate.standings() == {"version": 0, "blocked": []}
    account = town.account()
    gate.taps(*(town.gate.tap(account) for _ in range(3)))
    listed = gate.standings()
    assert listed["version"] == 1
    (blocked,) = listed["blocked"]
    assert (blocked["account"], blocked["reason"]) == (account, "overdraft")
    assert "top up at least" in blocked["words"]
    assert blocked["since"] == "2026-11-22T12:00:00.000Z"


def test_anyone_can_fetch_and_check_the_newest_checkpoint(town: Town, gate: GateClient) -> None:
    town.rides(2)
    publish(town.ledger)
    response = gate.client.get("/log/checkpoint")
    assert response.mimetype == "text/plain"
    checkpoint = check_checkpoint(response.text, ORIGIN, town.ledger.log_key.public_key())
    assert checkpoint.size == 2


def test_health_turns_red_when_the_log_is_not_signed(town: Town, gate: GateClient) -> None:
    publish(town.ledger)
    assert gate.client.get("/health/ledger").get_json()["status"] == "ok"
    town.rides(1)
    town.clock.forward(11)
    response = gate.client.get("/health/ledger")
    assert response.status_code == 503
    assert response.get_json() == {
        "status": "late",
        "problem": "",
        "entries": 1,
        "checkpoint_size": 0,
        "unsigned_for_s": 11.0,
        "signer": "",
        "witnesses": [],
    }
