"""Digits and passes before a face that is not enough, through the gate's own loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uuid6 import uuid7

from bench.gate_station import Stopwatch, gallery_of, make_gate
from bench.walkups import Walk, walked
from gate.clips import recorded
from gate.display import FaceBox
from gate.equipment import PassDigitsAndKeys
from gate.faults import FaultBoard
from gate.frames import TimedFrame
from gate.kiosk.keypad import Keypad
from gate.kiosk.screen import Screen
from gate.liveness.check import LivenessCheck, NoCheck
from gate.liveness.choices import make_check
from gate.liveness.fused import FORGET_S
from gate.liveness.risk import SAFE, Limits
from gate.liveness.thresholds import SHIPPED
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase
from gate.recognition import Measured
from gate.second_factor import Claims, PassAndDigits
from gate.sight import Knowledge
from gate.words import Word
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame
from models.faces.matching import Matcher
from models.faces.operating_points import choose
from models.faces.scoring import Vectors
from models.faces.tracking import Tracker
from models.wire.gallery import GalleryRider, GallerySnapshot, PassRules
from models.wire.tap import Evidence, Tap, check_tap
from models.wire.times import format_utc
from tests.conftest import read_rgb
from tests.test_gate_liveness import Notes

ANNA, TWIN = "a" * 32, "b" * 32
FPS = 30
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


class Both:
    """The notes of a test, and the screen that the kiosk's page shows."""

    def __init__(self, notes: Notes, kiosk: Screen) -> None:
        self._notes, self._kiosk = notes, kiosk

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        self._notes.show(phase, text, tap_id)
        self._kiosk.show(phase, text, tap_id)

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        self._kiosk.settled(tap_id, answer)

    def face(self, box: FaceBox | None) -> None:
        self._kiosk.face(box)


class Gate:
    """A gate with two look-alikes, of whom nobody can tell apart those with the same template;
    Anna's digits are 0815."""

    def __init__(
        self,
        folder: Path,
        engine: DlibEngine,
        template: Vectors,
        check: LivenessCheck | None = None,
        limits: Limits = SAFE,
        list_age: timedelta = timedelta(0),
        twin: Vectors | None = None,
        rules: PassRules | None = None,
    ) -> None:
        identity = make_gate(folder)
        self.key = identity.signing_key
        self.outbox, self.door, self.screen = (
            Outbox(identity.outbox_path),
            Stopwatch(),
            Notes(),
        )
        self.keypad = Keypad()
        self.kiosk = Screen(FaultBoard(), self.keypad)
        measured = Measured.of(engine.engine_id, identity.table_path)
        templates = [template, template if twin is None else twin]
        gallery = gallery_of(templates, [ANNA, TWIN], 2, seed=0)
        point = choose(measured.table, engine.engine_id, 2, 0.001, 3, 3)
        riders = tuple(
            GalleryRider(
                account=account, template=row.astype("<f4").tobytes(), images=3, digits=digits
            )
            for account, digits, row in zip((ANNA, TWIN), ("0815", "4711"), templates, strict=True)
        )
        snapshot = GallerySnapshot(
            engine_id=engine.engine_id, dimensions=128, version=1, gate="bench-1",
            issued_at=format_utc(NOW), riders=riders, passes=rules,
        )  # fmt: skip
        claims = Claims.of(snapshot, gallery, measured)
        self.digits = PassAndDigits(lambda: claims, lambda: NOW)
        self.loop = GateLoop(
            identity,
            Knowledge(
                Matcher(gallery, measured.cohort, point), {}, NOW - list_age, claims,
                look_alikes=frozenset({ANNA, TWIN}),
            ),
            Tracker(engine, fused_frames=3),
            self.outbox,
            self.door,
            Both(self.screen, self.kiosk),
            wall_clock=lambda: NOW,
            check=check or NoCheck(),
            second_factor=PassDigitsAndKeys(self.digits, self.keypad),
            limits=limits,
        )  # fmt: skip

    def see(self, frames: Iterable[TimedFrame]) -> None:
        for timed in frames:
            self.loop.on_frame(timed.frame, timed.at_s)

    def waiting_taps(self, count: int) -> None:
        """Anna opened with her pass lately, and the ledger has not heard of it."""

        def build(seq: int, prev: str) -> Tap:
            evidence = Evidence(
                engine="dlib-resnet-1", score=0.5, margin=0.2, frames=3, liveness=None,
                gallery_version=1,
            )  # fmt: skip
            return Tap(
                tap_id=str(uuid7()), gate="bench-1", station="bench", direction="in",
                at=format_utc(NOW - timedelta(days=2)), account=ANNA, medium="face",
                evidence=evidence, seq=seq, prev=prev,
            )  # fmt: skip

        for _ in range(count):
            self.outbox.append(build, self.key)

    @property
    def opened(self) -> list[str]:
        return [account for _, account in self.door.opened]


def standing(frame: Frame, from_s: float, to_s: float) -> Iterable[TimedFrame]:
    """Somebody who stands before the gate."""
    return (
        TimedFrame(frame, number / 10) for number in range(round(from_s * 10), round(to_s * 10))
    )


@pytest.fixture
def before_the_gate(stills: Path) -> Frame:
    return read_rgb(stills / "obama2.jpg")


@pytest.fixture
def template(engine: DlibEngine, before_the_gate: Frame) -> Vectors:
    row: Vectors = engine.embed(before_the_gate, engine.find(before_the_gate)[:1])[0]
    return row


def test_digits_settle_which_of_two_look_alikes_it_is(
    tmp_path: Path, engine: DlibEngine, before_the_gate: Frame, template: Vectors
) -> None:
    gate = Gate(tmp_path, engine, template)
    gate.see(standing(before_the_gate, 0, 4))
    assert (Phase.SECOND_FACTOR, Word.TWO_RIDERS) in gate.screen.shown
    assert gate.opened == []
    gate.digits.typed("0815")
    gate.see(standing(before_the_gate, 4, 6))
    assert gate.opened == [ANNA]
    ((_, signed),) = gate.outbox.pending(9)
    assert check_tap(signed, gate.key.public_key()).medium == "face"


def test_wrong_digits_count_once_however_many_frames_there_are(
    tmp_path: Path, engine: DlibEngine, before_the_gate: Frame, template: Vectors
) -> None:
    gate = Gate(tmp_path, engine, template)
    gate.see(standing(before_the_gate, 0, 2))
    gate.digits.typed("9999")
    gate.see(standing(before_the_gate, 2, 5.5))
    gate.see(at_30_fps([before_the_gate] * 45, 5.5))
    assert gate.screen.shown[-1] == (Phase.SECOND_FACTOR, Word.DIGITS_WRONG)
    gate.digits.typed("0815")
    gate.see(standing(before_the_gate, 7, 9))
    assert gate.opened == [ANNA]


@pytest.mark.parametrize(
    ("limits", "list_age", "waiting", "said"),
    [
        (replace(SAFE, openings_a_day=0), timedelta(0), 0, Word.ENOUGH_TODAY),
        (replace(SAFE, openings_since_pass=0), timedelta(0), 0, Word.SHOW_AGAIN),
        (SAFE, timedelta(hours=25), 0, Word.PASS_ONLY),
        (SAFE, timedelta(hours=-1), 0, Word.PASS_ONLY),  # the clock was set back
        (SAFE, timedelta(0), SAFE.offline_openings_max, Word.OFFLINE_LIMIT),
    ],
)
def test_a_face_made_sure_of_by_digits_opens_no_more_than_a_face_alone_may(
    tmp_path: Path,
    engine: DlibEngine,
    before_the_gate: Frame,
    template: Vectors,
    limits: Limits,
    list_age: timedelta,
    waiting: int,
    said: Word,
) -> None:
    gate = Gate(tmp_path, engine, template, limits=limits, list_age=list_age)
    gate.waiting_taps(waiting)
    gate.digits.typed("0815")
    gate.see(standing(before_the_gate, 0, 3))
    assert gate.opened == []
    assert (Phase.SECOND_FACTOR, said) in gate.screen.shown


def placed(picture: Frame, engine: DlibEngine) -> list[Frame]:
    """The person of ``picture`` stands in the gate's zone for a second."""
    box = engine.find(picture, thorough=True)[0].box
    still = Walk(from_m=0.8, speed_m_s=0.0, stop_m=0.8, seconds=1.0)
    return list(walked([TimedFrame(picture, 0.0)], box, still, seed=1))


def test_somebody_else_who_steps_up_to_the_keys_is_looked_at_anew(
    tmp_path: Path, engine: DlibEngine, before_the_gate: Frame, template: Vectors, stills: Path
) -> None:
    """Anna was asked for her digits; another face fills her place bit by bit, and types them."""
    anna, other = (
        placed(picture, engine) for picture in (before_the_gate, read_rgb(stills / "biden.jpg"))
    )
    changing = [
        np.asarray(a * (1 - n / 29) + b * (n / 29), np.uint8)
        for n, (a, b) in enumerate(zip(anna, other, strict=True))
    ]
    gate = Gate(tmp_path, engine, template)
    gate.see([*at_30_fps(anna * 4, 0)][::3])
    assert (Phase.SECOND_FACTOR, Word.TWO_RIDERS) in gate.screen.shown
    gate.see(at_30_fps(changing + other, 4))
    gate.digits.typed("0815")
    gate.see([*at_30_fps(other * 6, 6)][::3])
    assert gate.opened == []
    assert (Phase.SECOND_FACTOR, Word.DIGITS_WRONG) in gate.screen.shown


def at_30_fps(frames: list[Frame], from_s: float) -> Iterable[TimedFrame]:
    return (TimedFrame(frame, from_s + number / FPS) for number, frame in enumerate(frames))


NOBODY: Vectors = np.eye(1, 128, dtype=np.float32)[0]
ASKED_S, TYPED_S, OVER_S = 3.0, 3.0 + FORGET_S + 1.0, 12.0


def late_answer(gate: Gate, frames: list[TimedFrame]) -> None:
    """Somebody is asked for digits, and types them six seconds later."""
    frames = frames[::2]
    gate.see(timed for timed in frames if timed.at_s < ASKED_S)
    assert gate.screen.shown[-1][0] is Phase.SECOND_FACTOR
    asked = gate.loop.tally.asked
    gate.see([timed for timed in frames if ASKED_S <= timed.at_s < TYPED_S][::3])
    assert gate.loop.tally.asked == asked and gate.opened == []
    (track,) = gate.loop._sight._tracker.tracks
    assert gate.loop._sight._check.score(track.track_id) is None, "it is not forgotten yet"
    gate.digits.typed("0815")
    gate.see(timed for timed in frames if timed.at_s >= TYPED_S)


def test_a_living_rider_who_answers_late_is_found_living_once_more_and_opens(
    tmp_path: Path, engine: DlibEngine, data: Path
) -> None:
    recording = list(recorded(data / "clips" / "speakers" / "driving_d14.mp4"))
    box = engine.find(recording[0].frame)[0].box
    shown = list(walked(recording, box, Walk(from_m=1.2, seconds=OVER_S), seed=1))
    late = shown[60]
    own: Vectors = engine.embed(late, engine.find(late)[:1])[0]
    check = make_check("full", data / "models", SHIPPED)
    gate = Gate(tmp_path, engine, own, check, twin=NOBODY)
    late_answer(gate, list(at_30_fps(shown, 0)))
    assert gate.opened == [ANNA]
    ((_, signed),) = gate.outbox.pending(9)
    told = check_tap(signed, gate.key.public_key()).evidence.model_dump()
    assert told["liveness"] >= SHIPPED.pair_min


def test_a_photograph_that_answers_late_is_found_out_once_more(
    tmp_path: Path, engine: DlibEngine, data: Path, before_the_gate: Frame, template: Vectors
) -> None:
    check = make_check("full", data / "models", SHIPPED)
    gate = Gate(tmp_path, engine, template, check, twin=NOBODY)
    late_answer(gate, list(at_30_fps(placed(before_the_gate, engine) * 12, 0)))
    assert gate.opened == []
    assert gate.screen.shown[-1] in {
        (Phase.SECOND_FACTOR, Word.NO_MOVEMENT),
        (Phase.SECOND_FACTOR, Word.NOT_LIVE),
    }
