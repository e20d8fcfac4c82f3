"""The whole gate with its liveness check: a photograph walks up, a living person walks up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from bench.gate_station import Stopwatch, gallery_of, make_gate
from bench.walkups import FPS, Walk, walked
from facefare.walkup import write_walkups
from gate.cli import gate as gate_command
from gate.clips import recorded
from gate.frames import TimedFrame
from gate.identity import GateIdentity
from gate.liveness.check import LivenessCheck, NoCheck
from gate.liveness.choices import make_check
from gate.liveness.risk import SAFE, Limits
from gate.liveness.thresholds import SHIPPED, NotCalibrated, load_threshold
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase
from gate.recognition import Measured
from gate.sight import Knowledge
from gate.words import Word
from models.faces.dlib_engine import DlibEngine
from models.faces.matching import Matcher
from models.faces.operating_points import choose
from models.faces.tracking import Tracker
from models.wire.tap import check_tap
from tests.conftest import read_rgb

ANNA = "a" * 32


class Notes:
    """A screen that keeps what it showed."""

    def __init__(self) -> None:
        self.shown: list[tuple[Phase, str]] = []

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        self.shown.append((phase, text))

    def settled(self, tap_id: str, answer: object) -> None:
        return

    def face(self, box: object) -> None:
        return


class Gate:
    """A gate with one rider, ANNA, whose template is given."""

    def __init__(
        self,
        folder: Path,
        engine: DlibEngine,
        template: np.ndarray,
        check: LivenessCheck,
        limits: Limits = SAFE,
        **settings: float,
    ) -> None:
        self.identity: GateIdentity = make_gate(folder, **settings)
        self.outbox, self.door, self.screen = (
            Outbox(self.identity.outbox_path),
            Stopwatch(),
            Notes(),
        )
        measured = Measured.of(engine.engine_id, self.identity.table_path)
        gallery = gallery_of([template], [ANNA], 1, seed=0)
        point = choose(measured.table, engine.engine_id, 1, 0.001, 1, 3)
        self.loop = GateLoop(
            self.identity,
            Knowledge(Matcher(gallery, measured.cohort, point), {}),
            Tracker(engine, fused_frames=3),
            self.outbox,
            self.door,
            self.screen,
            wall_clock=lambda: datetime.now(UTC),
            check=check,
            limits=limits,
        )

    def see(self, frames: Iterator[TimedFrame] | list[TimedFrame]) -> None:
        for timed in frames:
            self.loop.on_frame(timed.frame, timed.at_s)

    @property
    def facts(self) -> object:
        return self.outbox.history(lambda: datetime.now(UTC)).facts(ANNA)


@pytest.fixture
def check(data: Path) -> LivenessCheck:
    return make_check("full", data / "models", SHIPPED)


def template_of(engine: DlibEngine, picture: Path) -> np.ndarray:
    frame = read_rgb(picture)
    return engine.embed(frame, engine.find(frame, thorough=True)[:1])[0]


@pytest.fixture
def photo_walk(tmp_path: Path, engine: DlibEngine, stills: Path) -> Path:
    frame = read_rgb(stills / "obama2.jpg")
    face = engine.find(frame, thorough=True)[0]
    write_walkups([(frame, face)], tmp_path / "photo.mp4", seed=3)
    return tmp_path / "photo.mp4"


def living(engine: DlibEngine, clip: Path) -> tuple[np.ndarray, list[TimedFrame]]:
    """A speaker's template from the end of the clip, and the speaker walking up."""
    frames = list(recorded(clip))
    late = frames[-30].frame
    template = engine.embed(late, engine.find(late)[:1])[0]
    face = engine.find(frames[0].frame)[0]
    shown = walked(frames[: len(frames) // 2], face.box, Walk(seconds=2.8), seed=1)
    return template, [TimedFrame(frame, number / FPS) for number, frame in enumerate(shown)]


def test_a_photograph_that_walks_up_is_recognised_and_still_does_not_open(
    tmp_path: Path, engine: DlibEngine, stills: Path, check: LivenessCheck, photo_walk: Path
) -> None:
    gate = Gate(tmp_path / "gate", engine, template_of(engine, stills / "obama.jpg"), check)
    gate.see(recorded(photo_walk))
    assert gate.door.opened == []
    assert gate.loop.tally.asked == 1
    assert (Phase.SECOND_FACTOR, Word.NO_MOVEMENT) in gate.screen.shown
    assert gate.outbox.history(lambda: datetime.now(UTC)).facts(ANNA).not_live_today == 1


def test_without_the_check_the_same_photograph_opens(
    tmp_path: Path, engine: DlibEngine, stills: Path, photo_walk: Path
) -> None:
    """The test above is one of liveness, not of recognition."""
    gate = Gate(tmp_path / "gate", engine, template_of(engine, stills / "obama.jpg"), NoCheck())
    gate.see(recorded(photo_walk))
    assert [account for _, account in gate.door.opened] == [ANNA]


def test_a_living_person_who_walks_up_opens_once_and_the_tap_says_how_sure(
    tmp_path: Path, engine: DlibEngine, data: Path, check: LivenessCheck
) -> None:
    template, walk = living(engine, data / "clips" / "speakers" / "driving_d14.mp4")
    gate = Gate(tmp_path / "gate", engine, template, check)
    gate.see(walk)
    assert [account for _, account in gate.door.opened] == [ANNA]
    ((_, signed),) = gate.outbox.pending(10)
    tap = check_tap(signed, gate.identity.signing_key.public_key())
    assert tap.medium == "face"
    assert tap.evidence.model_dump()["liveness"] >= SHIPPED.pair_min


def test_beyond_the_days_limit_a_living_rider_is_asked_for_the_pass(
    tmp_path: Path, engine: DlibEngine, data: Path, check: LivenessCheck
) -> None:
    template, walk = living(engine, data / "clips" / "speakers" / "driving_d14.mp4")
    gate = Gate(tmp_path / "gate", engine, template, check, replace(SAFE, openings_a_day=0))
    gate.see(walk)
    assert gate.door.opened == []
    assert (Phase.SECOND_FACTOR, Word.ENOUGH_TODAY) in gate.screen.shown


def test_ones_own_living_face_earns_nothing_for_the_picture_held_up_then(
    tmp_path: Path, engine: DlibEngine, data: Path, stills: Path, check: LivenessCheck
) -> None:
    """Outside the zone somebody lives; in it a photograph of Anna stands in the same place."""
    clip = data / "clips" / "speakers" / "driving_d14.mp4"
    _, walk = living(engine, clip)
    picture = read_rgb(stills / "obama.jpg")
    still = [TimedFrame(picture, 0.0)]
    box = engine.find(picture, thorough=True)[0].box
    photo = [
        TimedFrame(frame, number / FPS)
        for number, frame in enumerate(walked(still, box, Walk(seconds=2.8), seed=2))
    ]
    near = next(
        number
        for number, timed in enumerate(walk)
        for face in engine.find(timed.frame)
        if face.box.width >= 0.155 * timed.frame.shape[1]
    )
    template = template_of(engine, stills / "obama.jpg")
    gate = Gate(tmp_path / "gate", engine, template, check)
    gate.see([*walk[:near], *photo[near:]])
    assert gate.door.opened == []


def test_nobody_outside_the_zone_is_ever_embedded(
    tmp_path: Path, engine: DlibEngine, data: Path, check: LivenessCheck
) -> None:
    template, walk = living(engine, data / "clips" / "speakers" / "driving_d14.mp4")
    gate = Gate(tmp_path / "gate", engine, template, check, face_share_min=0.9)
    gate.see(walk)
    tracks = gate.loop._sight._tracker.tracks
    assert tracks and all(track.looks == 0 for track in tracks)
    assert gate.screen.shown == []


def test_calibrating_reads_clips_and_writes_the_cameras_thresholds(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_gate(tmp_path / "gate")
    clip = tmp_path / "piece.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 30, (512, 512))
    for timed in recorded(data / "clips" / "speakers" / "driving_d14.mp4"):
        if timed.at_s >= 1.3:
            break
        writer.write(cv2.cvtColor(timed.frame, cv2.COLOR_RGB2BGR))
    writer.release()
    command = ["calibrate-liveness", str(clip), "--dir", str(tmp_path / "gate")]
    command += ["--models", str(data / "models"), "--json"]
    few = CliRunner().invoke(gate_command, command)
    assert isinstance(few.exception, NotCalibrated)
    assert "1 live riders were recorded, at least 20" in str(few.exception)
    assert not identity.liveness_path.exists()
    monkeypatch.setattr("gate.liveness.thresholds.LIVE_TRACKS_MIN", 1)
    done = CliRunner().invoke(gate_command, command)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert (facts["riders"], facts["pictures"], facts["opened"]) == (1, 0, None)
    assert load_threshold(identity.liveness_path).live_tracks == 1
