"""What a gate gets from enrollment: its provisioning, its gallery, the public key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from jwt.utils import base64url_decode
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.enroll import Enrolled, enroll_rider
from enrollment.gallery import data_key_name
from enrollment.photos import read_photo
from models.access.gates import add_gate, revoke_gate
from models.database import writing
from models.tables.riders import Consent, Rider
from models.wire.gallery import MEDIA_TYPE, GalleryRefused, GallerySnapshot, open_gallery
from models.wire.keys import base64url, key_id, raw_public
from models.wire.times import parse_utc
from tests.desk import FIRST, FIRST_AGAIN, OTHER, Desk, TestGate, form, load_engine, photo


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def enroll(desk: Desk, name: str, *stations: str) -> Enrolled:
    return enroll_rider(desk.enrollment, form(stations=stations), [photo(name)], "mei", desk.now)


def fetch(desk: Desk, gate: TestGate, newest: int = 0) -> GallerySnapshot:
    answer = gate.get(desk.app.test_client(), "/api/v1/gallery")
    assert (answer.status_code, answer.mimetype) == (200, MEDIA_TYPE)
    assert answer.headers["Cache-Control"] == "no-store"
    key = desk.enrollment.signing_key.public_key()
    return open_gallery(answer.data, gate.name, gate.box_key, key, newest)


def test_a_gate_gets_the_riders_of_its_own_station(desk: Desk) -> None:
    first = enroll(desk, FIRST, "south", "drum-tower")
    second = enroll(desk, OTHER, "drum-tower")
    south, tower = desk.add_gate("south-1"), desk.add_gate("tower-1", "drum-tower")
    assert [rider.account for rider in fetch(desk, south).riders] == [first.account_id]
    snapshot = fetch(desk, tower)
    assert {rider.account for rider in snapshot.riders} == {first.account_id, second.account_id}
    assert (snapshot.engine_id, snapshot.dimensions) == ("dlib-resnet-1", 128)
    assert (snapshot.gate, snapshot.version) == ("tower-1", 2)
    assert parse_utc(snapshot.issued_at) == desk.now


def test_the_template_in_the_gallery_recognises_another_photo_of_the_rider(desk: Desk) -> None:
    enroll(desk, FIRST, "south")
    [rider] = fetch(desk, desk.add_gate("south-1")).riders
    template = np.frombuffer(rider.template, "<f4")
    engine = load_engine()
    for name, same in ((FIRST_AGAIN, True), (OTHER, False)):
        frame = read_photo(photo(name))
        [probe] = engine.embed(frame, engine.find(frame))
        assert (float(template @ probe) > 0.93) is same


def test_a_gate_that_has_the_current_version_gets_nothing(desk: Desk) -> None:
    gate, client = desk.add_gate("south-1"), desk.app.test_client()
    assert fetch(desk, gate).riders == ()
    assert gate.get(client, "/api/v1/gallery?have=0").status_code == 204
    enroll(desk, FIRST, "south")
    assert gate.get(client, "/api/v1/gallery?have=0").status_code == 200
    assert gate.get(client, "/api/v1/gallery?have=1").status_code == 204
    assert gate.get(client, "/api/v1/gallery?have=x").status_code == 200
    assert gate.get(client, "/api/v1/gallery?have=9").status_code == 200


def change(desk: Desk, **values: str) -> None:
    with writing(desk.enrollment.riders) as session:
        rider = session.exec(select(Rider)).one()
        for name, value in values.items():
            setattr(rider, name, value)
        session.add(rider)


@pytest.mark.parametrize(
    "values",
    [{"status": "frozen"}, {"status": "left"}, {"medium": "pass"}, {"medium": "face+pass"}],
)
def test_only_active_hands_free_riders_are_in_a_gallery(desk: Desk, values: dict[str, str]) -> None:
    enroll(desk, FIRST, "south")
    gate = desk.add_gate("south-1")
    assert len(fetch(desk, gate).riders) == 1
    change(desk, **values)
    assert fetch(desk, gate).riders == ()


def test_a_rider_who_withdrew_consent_is_in_no_gallery(desk: Desk) -> None:
    enroll(desk, FIRST, "south")
    gate = desk.add_gate("south-1")
    with writing(desk.enrollment.riders) as session:
        consent = session.exec(select(Consent)).one()
        consent.withdrawn_at = desk.now
        session.add(consent)
    assert fetch(desk, gate).riders == ()


def test_an_erased_rider_is_in_no_gallery(desk: Desk) -> None:
    enrolled = enroll(desk, FIRST, "south")
    gate = desk.add_gate("south-1")
    desk.enrollment.vault.erase(data_key_name(enrolled.rider_id))
    assert fetch(desk, gate).riders == ()


def test_an_older_gallery_is_refused_by_the_gate(desk: Desk) -> None:
    gate = desk.add_gate("south-1")
    with pytest.raises(GalleryRefused, match="version 0, but version 1 was seen"):
        fetch(desk, gate, newest=1)


def test_the_gallery_is_for_gates_only(desk: Desk) -> None:
    client = desk.app.test_client()
    answer = client.get("/api/v1/gallery")
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["detail"] == "the request carries no gate token"
    browser = desk.signed_in("admin")
    assert browser.get("/api/v1/gallery").status_code == 401


def test_a_revoked_gate_gets_no_gallery(desk: Desk) -> None:
    gate = desk.add_gate("south-1")
    revoke_gate(desk.enrollment.access, "south-1", desk.now)
    answer = gate.get(desk.app.test_client(), "/api/v1/gallery")
    assert answer.status_code == 401
    assert answer.json is not None
    assert "revoked" in answer.json["detail"]


def provision(desk: Desk, code: str, /, **changes: Any) -> TestResponse:
    given = {
        "code": code,
        "public_key": base64url(raw_public(Ed25519PrivateKey.generate().public_key())),
        "box_key": base64url(raw_public(X25519PrivateKey.generate().public_key())),
        **changes,
    }
    return desk.app.test_client().post("/api/v1/gates/provision", json=given)


def test_a_code_makes_a_gate_known_and_tells_it_what_it_needs(desk: Desk) -> None:
    code = add_gate(desk.enrollment.access, "south-1", "south", "in", desk.now)
    gate = TestGate("south-1")
    answer = provision(
        desk,
        code,
        public_key=base64url(raw_public(gate.key.public_key())),
        box_key=base64url(raw_public(gate.box_key.public_key())),
    )
    assert answer.status_code == 200
    told = json.loads(answer.data)
    jwk = told.pop("enrollment_key")
    assert told == {
        "gate": "south-1",
        "station": "south",
        "direction": "in",
        "origin": "fares.example/test",
        "log_verifier_key": "fares.example/test+key",
    }
    key = Ed25519PublicKey.from_public_bytes(base64url_decode(jwk["x"]))
    enroll(desk, FIRST, "south")
    data = gate.get(desk.app.test_client(), "/api/v1/gallery").data
    assert len(open_gallery(data, "south-1", gate.box_key, key, 0).riders) == 1


def test_a_code_is_good_once_and_for_a_day(desk: Desk) -> None:
    code = add_gate(desk.enrollment.access, "south-1", "south", "in", desk.now)
    late = add_gate(desk.enrollment.access, "south-2", "south", "in", desk.now)
    assert provision(desk, code).status_code == 200
    answer = provision(desk, code)
    assert answer.status_code == 400
    assert "unknown, spent or expired" in answer.text
    desk.now += timedelta(hours=24, seconds=1)
    assert "unknown, spent or expired" in provision(desk, late).text


@pytest.mark.parametrize(
    "changes",
    [
        {"public_key": "short"},
        {"public_key": "=" * 43},
        {"box_key": None},
        {"box_key": "A" * 44},
        {"code": ""},
        {"code": 5},
        {"station": "north"},
    ],
)
def test_a_provisioning_request_of_another_shape_is_refused(
    desk: Desk, changes: dict[str, Any]
) -> None:
    code = add_gate(desk.enrollment.access, "south-1", "south", "in", desk.now)
    answer = provision(desk, code, **changes)
    assert answer.status_code == 400
    assert "provisioning needs JSON with code, public_key and box_key" in answer.text
    assert provision(desk, code).status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_provisioning_request_that_is_no_object_is_refused(desk: Desk, body: bytes) -> None:
    answer = desk.app.test_client().post("/api/v1/gates/provision", data=body)
    assert answer.status_code == 400
    assert "provisioning needs JSON" in json.loads(answer.data)["detail"]


def test_the_public_key_is_published(desk: Desk) -> None:
    answer = desk.app.test_client().get("/.well-known/jwks.json")
    assert answer.json is not None
    [jwk] = answer.json["keys"]
    key = desk.enrollment.signing_key.public_key()
    assert jwk == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64url(raw_public(key)),
        "kid": key_id(key),
        "alg": "EdDSA",
        "use": "sig",
    }
