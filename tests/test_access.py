"""Requests of gates: which tokens are refused, and the codes that make a gate known."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine

from models.access.gates import (
    CODE_LIFETIME,
    GateRegister,
    GateRegisterError,
    RegisteredGate,
    add_gate,
    list_gates,
    provision_gate,
    revoke_gate,
)
from models.access.web import authenticate_gate
from models.database import open_sqlite
from models.tables.access import AccessTable
from models.wire.keys import base64url, key_id, raw_public
from models.wire.tap import TAP_TYPE
from models.wire.tokens import GATE_TOKEN_TYPE, LIFETIME_S_MAX, Request, TokenRefused
from models.wire.tokens import issue_gate_token as issue

KEY = Ed25519PrivateKey.generate()
OTHER_KEY = Ed25519PrivateKey.generate()
BOX_KEY = X25519PrivateKey.generate()
PATH = "/api/v1/gallery?have=3"


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Engine]:
    engine = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata, create=True)
    yield engine
    engine.dispose()


def now() -> datetime:
    return datetime.now(UTC)


def provision(access: Engine, name: str, key: Ed25519PrivateKey) -> RegisteredGate:
    code = add_gate(access, name, "south", "in", now())
    box = X25519PrivateKey.generate().public_key()
    return provision_gate(access, code, raw_public(key.public_key()), raw_public(box), now())


@pytest.fixture
def app(access: Engine) -> Flask:
    """A server with one gate, ``south-1``, that answers it with its name."""
    provision(access, "south-1", KEY)
    return server(access)


def server(access: Engine) -> Flask:
    app = Flask(__name__)
    register = GateRegister(access)

    @app.route("/api/v1/gallery", methods=["GET", "POST"])
    def gallery() -> ResponseReturnValue:
        try:
            return authenticate_gate(register, "enrollment").name
        except TokenRefused as error:
            return str(error), 401

    @app.get("/api/v1/other")
    def other() -> ResponseReturnValue:
        return f"not reached: {request.path}"

    return app


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token for ``PATH``; a change to None leaves the claim out."""
    at = int(now().timestamp())
    good = {
        "iss": "south-1",
        "aud": "enrollment",
        "iat": at,
        "exp": at + 60,
        "jti": uuid4().hex,
        "htm": "GET",
        "htu": PATH,
        "bod": Request("GET", PATH, b"").body_hash(),
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(key: Any = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    headers = {"typ": GATE_TOKEN_TYPE, "kid": key_id(KEY.public_key()), **(header or {})}
    return jwt.encode(claims(**changes), key, algorithm="EdDSA", headers=headers)


def by_hand(algorithm: str, secret: bytes | None) -> str:
    """A token that no honest library would make: unsigned, or HMAC under ``secret``."""
    header = {"alg": algorithm, "typ": GATE_TOKEN_TYPE, "kid": key_id(KEY.public_key())}
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims())]
    signature = b""
    if secret is not None:
        signature = hmac.new(secret, ".".join(parts).encode(), sha256).digest()
    return ".".join([*parts, base64url(signature)])


def get(app: Flask, bearer: str | None, path: str = PATH, **more: Any) -> tuple[int, str]:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    answer = app.test_client().open(path, headers=headers, **more)
    return answer.status_code, answer.get_data(as_text=True)


def test_a_good_token_is_accepted(app: Flask) -> None:
    assert get(app, token()) == (200, "south-1")
    issued = issue(KEY, "south-1", "enrollment", Request("GET", PATH, b""), now())
    assert get(app, issued) == (200, "south-1")


@pytest.mark.parametrize("bearer", [None, "", "x", "a.b.c", "é", "Basic abc"])
def test_a_request_without_a_readable_token_is_refused(app: Flask, bearer: str | None) -> None:
    status, sentence = get(app, bearer)
    assert status == 401
    assert "no" in sentence
    assert "gate token" in sentence


def test_an_unsigned_token_is_refused(app: Flask) -> None:
    for algorithm in ("none", "None", "NONE"):
        status, sentence = get(app, by_hand(algorithm, None))
        assert (status, "does not verify" in sentence) == (401, True), sentence


def test_hmac_under_the_public_key_is_refused(app: Flask) -> None:
    raw = raw_public(KEY.public_key())
    for secret in (raw, base64url(raw).encode(), base64.b64encode(raw)):
        status, sentence = get(app, by_hand("HS256", secret))
        assert (status, "does not verify" in sentence) == (401, True), sentence


@pytest.mark.parametrize("kind", ["JWT", TAP_TYPE, "facefare-pass+jwt", "", None, ["x"]])
def test_a_token_of_another_type_is_refused(app: Flask, kind: Any) -> None:
    parts = token().split(".")
    header = {"alg": "EdDSA", "typ": kind, "kid": key_id(KEY.public_key())}
    parts[0] = base64url(json.dumps(header).encode())
    signature = KEY.sign(f"{parts[0]}.{parts[1]}".encode())
    status, sentence = get(app, ".".join([*parts[:2], base64url(signature)]))
    assert status == 401
    assert "gate token" in sentence


@pytest.mark.parametrize("missing", ["iss", "aud", "iat", "exp", "jti", "htm", "htu", "bod"])
def test_a_token_without_one_of_its_claims_is_refused(app: Flask, missing: str) -> None:
    status, sentence = get(app, token(**{missing: None}))
    assert status == 401
    assert missing in sentence


def test_a_token_with_a_claim_too_many_is_refused(app: Flask) -> None:
    assert get(app, token(sub="admin"))[0] == 401


@pytest.mark.parametrize("lifetime_s", [LIFETIME_S_MAX + 1, 10 * 365 * 86400, 0, -5])
def test_a_token_lives_a_minute_at_most(app: Flask, lifetime_s: int) -> None:
    status, sentence = get(app, token(exp=int(now().timestamp()) + lifetime_s))
    assert (status, sentence) == (401, "a gate token may live at most 60 seconds")


@pytest.mark.parametrize("value", ["9999999999", 9999999999.5, True, [1], {}])
def test_times_that_are_not_whole_seconds_are_refused(app: Flask, value: Any) -> None:
    assert get(app, token(exp=value))[0] == 401
    assert get(app, token(iat=value))[0] == 401


def test_an_expired_token_is_refused(app: Flask) -> None:
    at = int(now().timestamp()) - 200
    status, sentence = get(app, token(iat=at, exp=at + 60))
    assert status == 401
    assert "has expired" in sentence


def test_a_token_from_the_future_is_refused(app: Flask) -> None:
    at = int(now().timestamp()) + 200
    status, sentence = get(app, token(iat=at, exp=at + 60))
    assert status == 401
    assert "from the future" in sentence


@pytest.mark.parametrize("audience", [["enrollment"], ["ledger", "enrollment"], "ledger", "", []])
def test_only_this_one_audience_is_accepted(app: Flask, audience: Any) -> None:
    status, sentence = get(app, token(aud=audience))
    assert (status, "does not verify" in sentence) == (401, True)


def test_a_token_for_another_request_is_refused(app: Flask) -> None:
    refused = (401, "the gate token was made for another request")
    assert get(app, token(), "/api/v1/gallery?have=4") == refused
    assert get(app, token(), "/api/v1/gallery") == refused
    assert get(app, token(htu="/api/v1/other")) == refused
    assert get(app, token(htm="POST")) == refused
    assert get(app, token(), method="POST") == refused
    assert get(app, token(htm="POST"), method="POST", data=b"a body it was not made for") == refused
    assert get(app, token(htm="POST"), method="POST") == (200, "south-1")


def test_a_token_is_good_once(app: Flask) -> None:
    once = token()
    assert get(app, once) == (200, "south-1")
    status, sentence = get(app, once)
    assert (status, "used before" in sentence) == (401, True)


def test_a_used_token_is_refused_after_a_restart_too(tmp_path: Path) -> None:
    file = tmp_path / "access.sqlite"
    first = open_sqlite(file, AccessTable.metadata, create=True)
    provision(first, "south-1", KEY)
    once = token()
    assert get(server(first), once) == (200, "south-1")
    first.dispose()
    reopened = open_sqlite(file, AccessTable.metadata)
    status, sentence = get(server(reopened), once)
    reopened.dispose()
    assert (status, "used before" in sentence) == (401, True)


@pytest.mark.parametrize("jti", [7, True, ["a"], {}])
def test_a_token_id_that_is_not_text_is_refused(app: Flask, jti: Any) -> None:
    assert get(app, token(jti=jti))[0] == 401


def test_another_key_or_an_unknown_one_is_refused(app: Flask) -> None:
    assert get(app, token(key=OTHER_KEY))[0] == 401
    unknown = token(key=OTHER_KEY, header={"kid": key_id(OTHER_KEY.public_key())})
    status, sentence = get(app, unknown)
    assert (status, "not registered or was revoked" in sentence) == (401, True)


def test_a_key_that_travels_in_the_token_is_not_believed(app: Flask) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw_public(OTHER_KEY.public_key()))}
    assert get(app, token(key=OTHER_KEY, header={"jwk": jwk}))[0] == 401
    assert get(app, token(key=OTHER_KEY, header={"jku": "https://elsewhere.example"}))[0] == 401


def test_a_gate_cannot_speak_in_another_gates_name(app: Flask, access: Engine) -> None:
    provision(access, "north-1", OTHER_KEY)
    header = {"kid": key_id(OTHER_KEY.public_key())}
    assert get(app, token(key=OTHER_KEY, header=header))[0] == 401
    assert get(app, token(key=OTHER_KEY, header=header, iss="north-1")) == (200, "north-1")


def test_a_revoked_gate_is_refused_and_stays_known(app: Flask, access: Engine) -> None:
    revoke_gate(access, "south-1", now())
    status, sentence = get(app, token())
    assert (status, "was revoked" in sentence) == (401, True)
    gate = GateRegister(access).gate("south-1")
    assert gate is not None
    assert gate.revoked


def keys() -> tuple[bytes, bytes]:
    signing = Ed25519PrivateKey.generate().public_key()
    return raw_public(signing), raw_public(BOX_KEY.public_key())


def test_a_provisioning_code_is_good_once(access: Engine) -> None:
    code = add_gate(access, "south-1", "south", "in", now())
    gate = provision_gate(access, code, *keys(), now())
    assert (gate.name, gate.station, gate.direction) == ("south-1", "south", "in")
    with pytest.raises(GateRegisterError, match="unknown, spent or expired"):
        provision_gate(access, code, *keys(), now())


def test_a_provisioning_code_lives_a_day(access: Engine) -> None:
    made = now().replace(microsecond=0)
    code = add_gate(access, "south-1", "south", "in", made)
    late = made + CODE_LIFETIME + timedelta(seconds=1)
    with pytest.raises(GateRegisterError, match="unknown, spent or expired"):
        provision_gate(access, code, *keys(), late)
    assert provision_gate(access, code, *keys(), made + CODE_LIFETIME).name == "south-1"


@pytest.mark.parametrize("code", ["", "0" * 16, "é"])
def test_an_unknown_code_is_refused(access: Engine, code: str) -> None:
    add_gate(access, "south-1", "south", "in", now())
    with pytest.raises(GateRegisterError, match="unknown, spent or expired"):
        provision_gate(access, code, *keys(), now())


def test_bad_keys_do_not_spend_the_code(access: Engine) -> None:
    code = add_gate(access, "south-1", "south", "in", now())
    good = keys()
    for bad in ((good[0][:31], good[1]), (good[0], b"")):
        with pytest.raises(GateRegisterError, match="not 32-byte keys"):
            provision_gate(access, code, *bad, now())
    assert provision_gate(access, code, *good, now()).name == "south-1"


def test_the_register_keeps_no_code_in_the_clear(access: Engine) -> None:
    code = add_gate(access, "south-1", "south", "in", now())
    assert code not in str(list_gates(access))


def test_a_key_is_good_for_one_gate_only(access: Engine) -> None:
    provision(access, "south-1", KEY)
    with pytest.raises(GateRegisterError, match="belongs to another gate already"):
        provision(access, "south-2", KEY)


@pytest.mark.parametrize("name", ["", "South 1", "-", "a" * 64, "süd"])
def test_a_name_that_cannot_travel_in_a_tap_is_refused(access: Engine, name: str) -> None:
    with pytest.raises(GateRegisterError, match="cannot be the name of a gate"):
        add_gate(access, name, "south", "in", now())


def test_a_lost_answer_can_be_asked_for_again_by_the_same_gate_only(access: Engine) -> None:
    code = add_gate(access, "south-1", "south", "in", now())
    box = raw_public(X25519PrivateKey.generate().public_key())
    mine = raw_public(Ed25519PrivateKey.generate().public_key())
    first = provision_gate(access, code, mine, box, now())
    assert provision_gate(access, code, mine, box, now()).name == first.name
    with pytest.raises(GateRegisterError, match="unknown, spent or expired"):
        provision_gate(access, code, raw_public(KEY.public_key()), box, now())


def test_a_gate_that_was_never_provisioned_gets_a_fresh_code(access: Engine) -> None:
    old = add_gate(access, "south-1", "south", "in", now())
    new = add_gate(access, "south-1", "drum-tower", "out", now())
    keys = raw_public(KEY.public_key()), raw_public(X25519PrivateKey.generate().public_key())
    with pytest.raises(GateRegisterError, match="unknown, spent or expired"):
        provision_gate(access, old, *keys, now())
    assert provision_gate(access, new, *keys, now()).station == "drum-tower"
    with pytest.raises(GateRegisterError, match="exists already"):
        add_gate(access, "south-1", "south", "in", now())
