"""A pass from the desk to the door: issued, held before the camera, read, decided on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bench.phone_screens import Held, photographed
from enrollment.enroll import enroll_rider
from enrollment.erase import erase_rider
from enrollment.pass_pictures import code_of
from enrollment.passes import IssuedPass, issue_pass
from enrollment.photos import read_photo
from gate.decision import Decision, Open, Refuse
from gate.liveness.check import Finding, LivenessScore
from gate.presented import SeenFace
from gate.recognition import Measured
from gate.second_factor import PATIENCE_S, Claims, PassAndDigits
from gate.words import Word
from models.faces.cohort import shipped_cohort
from models.faces.matching import Gallery
from models.faces.operating_points import shipped_table
from models.faces.quantise import quantise, restore
from models.faces.scoring import Vectors
from models.wire.gallery import open_gallery
from models.wire.tap import FaceAndPassEvidence, PassEvidence, pass_hash
from tests.desk import FIRST, FIRST_AGAIN, OTHER, Desk, TestGate, form, load_engine, photo

ENGINE = "dlib-resnet-1"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def embedding(name: str) -> Vectors:
    frame = read_photo(photo(name))
    engine = load_engine()
    rows: Vectors = engine.embed(frame, engine.find(frame))
    return rows[0]


def seen(name: str) -> SeenFace:
    return SeenFace(embedding(name), 3, ENGINE, None, LivenessScore(Finding.LIVE, pair=0.9))


def claims(desk: Desk, gate: TestGate) -> Claims:
    """What the gate knows once it has fetched its gallery."""
    answer = gate.get(desk.app.test_client(), "/api/v1/gallery")
    key = desk.enrollment.signing_key.public_key()
    snapshot = open_gallery(answer.data, gate.name, gate.box_key, key, 0)
    rows = [np.frombuffer(rider.template, "<f4") for rider in snapshot.riders]
    templates = np.array(rows, dtype=np.float32).reshape(len(rows), 128)
    accounts = tuple(rider.account for rider in snapshot.riders)
    gallery = Gallery(ENGINE, snapshot.version, accounts, templates)
    measured = Measured(ENGINE, shipped_table(ENGINE), shipped_cohort(ENGINE))
    return Claims.of(snapshot, gallery, measured)


def before_the_camera(desk: Desk, gate: TestGate, issued: IssuedPass, face: str | None) -> Decision:
    """Hold the pass up for as long as the gate is patient, with this face above it."""
    known = claims(desk, gate)
    factor = PassAndDigits(lambda: known, lambda: desk.now)
    station = read_photo(photo(OTHER))
    held = Held(width_px=1920, height_px=1080, distance_mm=280, yaw_deg=8, pitch_deg=-10)
    decision: Decision | None = None
    above = None if face is None else seen(face)
    for number in range(4):
        frame = photographed(code_of(issued), station, held.but(seed=number))
        presented = factor.look(frame, number * PATIENCE_S / 3)
        if presented is not None:
            decision = factor.decide(presented, above)
    assert decision is not None, "the pass was not read"
    return decision


def issued(desk: Desk, medium: Literal["pass", "face+pass"]) -> tuple[IssuedPass, str, str]:
    enrolled = enroll_rider(
        desk.enrollment, form(stations=("south",)), [photo(FIRST)], "mei", desk.now
    )
    made = issue_pass(desk.enrollment, enrolled.rider_id, medium, desk.now)
    return made, enrolled.account_id, enrolled.rider_id


def test_a_plain_pass_opens_for_its_account(desk: Desk) -> None:
    made, account, _ = issued(desk, "pass")
    decision = before_the_camera(desk, desk.add_gate("south-1"), made, None)
    assert decision == Open(account, PassEvidence(pass_hash=pass_hash(made.pass_id)), "pass")


def test_a_carried_face_opens_where_nobody_keeps_it(desk: Desk) -> None:
    made, account, _ = issued(desk, "face+pass")
    gate = desk.add_gate("south-1")
    assert claims(desk, gate).gallery.accounts == ()
    decision = before_the_camera(desk, gate, made, FIRST_AGAIN)
    assert isinstance(decision, Open)
    assert (decision.account, decision.medium) == (account, "face+pass")
    assert isinstance(decision.evidence, FaceAndPassEvidence)
    assert decision.evidence.score > 0.3


def test_a_carried_face_opens_for_no_other_face(desk: Desk) -> None:
    made, _, _ = issued(desk, "face+pass")
    decision = before_the_camera(desk, desk.add_gate("south-1"), made, OTHER)
    assert decision == Refuse(Word.PASS_OTHER_FACE)


def test_after_erasure_the_pass_opens_nothing_anywhere(desk: Desk) -> None:
    made, _, rider_id = issued(desk, "face+pass")
    erase_rider(desk.enrollment, rider_id)
    decision = before_the_camera(desk, desk.add_gate("tower-1", "drum-tower"), made, FIRST_AGAIN)
    assert decision == Refuse(Word.PASS_WITHDRAWN)


def test_one_byte_a_number_loses_nothing_that_matters() -> None:
    """The figure over thousands of people is in docs/calibration.md; this is on real faces."""
    rows = np.stack([embedding(name) for name in (FIRST, FIRST_AGAIN, OTHER)])
    back = restore(quantise(rows))
    assert float(np.einsum("ij,ij->i", rows, back).min()) > 0.9999
    assert np.abs(rows @ rows.T - back @ rows.T).max() < 0.002
