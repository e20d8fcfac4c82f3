"""A pass on a telephone before the gate's camera: held near and far, dim, tilted and moving."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import segno

from bench.gate_station import Blank, Stopwatch, make_gate
from bench.phone_screens import Held, photographed
from gate import qr
from gate.equipment import PassDigitsAndKeys
from gate.kiosk.keypad import Keypad
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.qr import PassReader, read_pass
from gate.second_factor import PassAndDigits
from gate.sight import Knowledge
from models.faces.engine import Frame
from models.faces.tracking import Tracker
from models.wire.pass_text import pack_pass
from models.wire.passes import sign_pass
from tests.conftest import read_rgb
from tests.offline_gate import FRAME, Blind
from tests.test_passes import ISSUER, KEY, PLAIN, WITH_FACE

TEXTS = {"pass": pack_pass(sign_pass(PLAIN, ISSUER, KEY)),
         "face+pass": pack_pass(sign_pass(WITH_FACE, ISSUER, KEY))}  # fmt: skip
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
LOOKS = 12  # under half a second of a camera's frames: a rider holds a pass for longer


def code(text: str, correction: str = "L") -> segno.QRCode:
    return segno.make_qr(text, error=correction, boost_error=False)


@pytest.fixture(scope="module")
def station(data: Path) -> Frame:
    """A person standing there, as the camera sees them."""
    return read_rgb(data / "clips" / "stage" / "obama.jpg")


def looks(text: str, station: Frame, held: Held) -> str | None:
    """What a reader makes of a pass held so, over the frames of half a second."""
    reader = PassReader()
    shown = code(text)
    for number in range(LOOKS):
        # Nobody's hand is quite still.
        frame = photographed(
            shown, station, held.but(seed=number, across=held.across + 0.0013 * number,
                                     roll_deg=held.roll_deg + 0.4 * number)
        )  # fmt: skip
        read = reader.read(frame)
        if read is not None:
            return read
    return None


FULL_HD = Held(width_px=1920, height_px=1080)
HD = Held()


@pytest.mark.parametrize(
    ("medium", "held"),
    [
        ("pass", HD.but(distance_mm=200)),
        ("pass", HD.but(distance_mm=250)),
        ("pass", HD.but(distance_mm=250, brightness=0.25, reflected=0.12, noise=7)),
        ("pass", HD.but(distance_mm=250, yaw_deg=25, pitch_deg=20, roll_deg=12)),
        ("pass", FULL_HD.but(distance_mm=400)),
        ("pass", FULL_HD.but(distance_mm=300, brightness=0.25, reflected=0.12, noise=7)),
        ("face+pass", HD.but(distance_mm=200)),
        ("face+pass", FULL_HD.but(distance_mm=300)),
        ("face+pass", FULL_HD.but(distance_mm=300, yaw_deg=25, pitch_deg=20, roll_deg=12)),
    ],
)
def test_a_pass_on_a_screen_is_read(medium: str, held: Held, station: Frame) -> None:
    assert looks(TEXTS[medium], station, held) == TEXTS[medium]


def test_a_picture_without_a_pass_has_none(station: Frame) -> None:
    reader = PassReader()
    assert [reader.read(station) for _ in range(3)] == [None, None, None]


@pytest.mark.parametrize("text", ["https://example.org/menu", "WIFI:S:x;;", "FF2:ABC", "12345"])
def test_other_codes_are_passed_over(text: str, station: Frame) -> None:
    frame = photographed(segno.make_qr(text, error="m"), station, HD)
    [grey] = [np.ascontiguousarray(frame[:, :, 1])]
    assert read_pass(grey) is None


def test_the_pass_is_found_beside_another_code() -> None:
    picture = np.full((900, 1600), 255, np.uint8)
    for left, text in ((40, "https://example.org/menu"), (850, TEXTS["pass"])):
        rows = np.array([[0 if dark else 255 for dark in row] for row in code(text).matrix])
        big = cv2.resize(rows.astype(np.uint8), (600, 600), interpolation=cv2.INTER_NEAREST)
        picture[100:700, left : left + 600] = big
    assert read_pass(picture) == TEXTS["pass"]


@pytest.mark.parametrize(("fps", "at_least"), [(10, 4), (15, 4.5), (30, 5)])
def test_a_gate_looks_for_a_pass_five_times_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: int, at_least: float
) -> None:
    looks: list[int] = []

    def counted(grey: qr.Grey) -> str | None:
        looks.append(grey.shape[1])
        return read_pass(grey)

    monkeypatch.setattr(qr, "read_pass", counted)
    identity, seconds = make_gate(tmp_path), 4
    loop = GateLoop(
        identity, Knowledge(None, {}), Tracker(Blind(), fused_frames=3),
        Outbox(identity.outbox_path), Stopwatch(), Blank(), wall_clock=lambda: NOW,
        second_factor=PassDigitsAndKeys(PassAndDigits(lambda: None, lambda: NOW), Keypad()),
    )  # fmt: skip
    for number in range(seconds * fps):
        loop.on_frame(FRAME, number / fps)
    assert at_least <= len(looks) / seconds <= 5.25  # fewer where faces are searched for
    assert len(set(looks)) == len(qr.SCALES), "each enlargement has its turn"


def test_outside_the_zone_nothing_is_read(station: Frame) -> None:
    frame = photographed(code(TEXTS["pass"]), station, HD.but(distance_mm=220, across=0.75))
    left = PassReader(zone=(0.0, 0.0, 0.5, 1.0))
    right = PassReader(zone=(0.4, 0.0, 1.0, 1.0))
    assert left.read(frame) is None
    assert right.read(frame) == TEXTS["pass"]


def test_no_picture_is_larger_than_is_needed() -> None:
    assert qr._scaled(np.zeros((10, 1920), np.uint8), 2).shape == (20, 3840)
    assert qr._scaled(np.zeros((10, 1920), np.uint8), 3).shape == (10, 1920)
    assert qr._scaled(np.zeros((10, 1280), np.uint8), 3).shape == (30, 3840)
    assert qr._scaled(np.zeros((2160, 3840), np.uint8), 2).shape == (1080, 1920)


def test_a_zone_without_a_pixel_holds_no_pass(station: Frame) -> None:
    assert PassReader(zone=(0.5, 0.5, 0.5, 0.5)).read(station) is None


def test_a_look_is_short(station: Frame) -> None:
    """The figure itself is in docs/passes.md; this only notices ten times as much."""
    frame = cv2.resize(station, (1280, 720))
    reader = PassReader()
    times_s = []
    for _ in range(6):
        began = time.perf_counter()
        reader.read(np.asarray(frame, dtype=np.uint8))
        times_s.append(time.perf_counter() - began)
    assert min(times_s) < 0.1
