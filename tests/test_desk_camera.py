"""The desk with a camera, as people use it: a real browser, a clip for a camera, a gate.

Chromium takes a recording for its camera. The rider looks into it, the page keeps the good
frames, the form goes off, and the gate opens on another part of the same recording.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from gate.clips import recorded
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame
from tests.fake_camera import with_camera, write_camera
from tests.station import Station
from tests.test_journey import clip_length_s
from tests.test_pages import check_page, sign_in

SPEAKER = "driving_d10"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def camera_clip(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first third of a recording, as the desk's camera."""
    clip = data / "clips" / "speakers" / f"{SPEAKER}.mp4"
    length_s = clip_length_s(clip)
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    frames = [timed.frame for timed in recorded(clip) if timed.at_s < length_s / 3]
    write_camera(frames, path)
    return path


@pytest.fixture(scope="module")
def desk_browser(browser: Browser, camera_clip: Path) -> Iterator[Browser]:
    """Another Chromium, with that camera."""
    launched = with_camera(browser, camera_clip)
    yield launched
    launched.close()


@pytest.fixture
def page(desk_browser: Browser, station: Station) -> Iterator[Page]:
    context = desk_browser.new_context(
        base_url=station.server, viewport={"width": 360, "height": 740}, permissions=["camera"]
    )
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def capture_and_send(page: Page, medium: str) -> float:
    """Sign-in is done; fill in the form, look into the camera, send; seconds until the answer."""
    page.goto(f"/enrollment/new?medium={medium}")
    page.get_by_label("Name", exact=True).fill("Example Rider")
    page.get_by_label("14 or over").check()
    if medium == "face":
        page.get_by_label("South Gate").check()
        page.locator("#pin").fill("284917")
        page.locator("#pin_again").fill("284917")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator(".camera video")).to_be_visible()
    check_page(page)
    expect(page.locator(".says")).to_have_text(re.compile("photos are ready"), timeout=60_000)
    assert page.locator(".kept canvas").count() == 3
    assert page.evaluate("document.getElementById('photos').files.length") == 3
    assert page.evaluate("document.querySelector('.camera video').srcObject") is None
    page.get_by_label(re.compile("has read this text and agrees")).check()
    begun = time.perf_counter()
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.wait_for_url(re.compile("/enrollment/(riders/|new)"))
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Enroll a rider")
    return time.perf_counter() - begun


def later_frames(data: Path) -> list[Frame]:
    """The last third of the recording."""
    clip = data / "clips" / "speakers" / f"{SPEAKER}.mp4"
    from_s = clip_length_s(clip) * 2 / 3
    return [timed.frame for timed in recorded(clip) if timed.at_s >= from_s]


def code_on(page: Page) -> Frame:
    """The picture that the page offers, as pixels."""
    uri = page.get_by_role("link", name="Picture (PNG)").get_attribute("href")
    assert uri is not None
    raw = np.frombuffer(base64.b64decode(uri.partition(",")[2]), dtype=np.uint8)
    picture = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, dtype=np.uint8)


def held_up(frames: list[Frame], code: Frame, path: Path) -> Path:
    """A recording of a gate's camera, 1280 by 720: the rider, and the code beside the face."""
    side = 380
    small = cv2.resize(code, (side, side), interpolation=cv2.INTER_AREA)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (1280, 720))
    for frame in frames:
        canvas = np.full((720, 1280, 3), 110, dtype=np.uint8)
        face = cv2.resize(frame, (720, 720), interpolation=cv2.INTER_AREA)
        canvas[:, 160:880] = cv2.cvtColor(face, cv2.COLOR_RGB2BGR)
        canvas[170 : 170 + side, 890 : 890 + side] = small
        writer.write(canvas)
    writer.release()
    return path


def test_from_the_camera_of_the_desk_to_the_open_gate(
    page: Page, station: Station, engine: DlibEngine, data: Path
) -> None:
    sign_in(page, station)
    took_s = capture_and_send(page, "face")
    print(f"\nfrom the last click to the record: {took_s:.2f} s")  # noqa: T201
    assert took_s <= 2.0
    expect(page.get_by_role("heading", level=1)).to_have_text("Example Rider")
    expect(page.get_by_text("3 photos")).to_be_visible()
    check_page(page)
    account = page.locator("code", has_text=re.compile("^[0-9a-f]{32}$")).inner_text()
    page.get_by_role("button", name="Issue a pass").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The pass of rider")
    check_page(page)
    with page.expect_download() as started:
        page.get_by_role("link", name="PDF to print").click()
    assert started.value.path().read_bytes().startswith(b"%PDF-")
    clip = data / "clips" / "speakers" / f"{SPEAKER}.mp4"
    gate = station.add_gate("hall-1")
    summary, _said = station.replay(gate, clip, engine, from_s=clip_length_s(clip) * 2 / 3)
    assert summary.opened == 1
    assert station.charged() == [account]


def test_a_face_in_the_pass_is_captured_and_nothing_of_it_is_kept(
    page: Page, station: Station, engine: DlibEngine, data: Path, tmp_path: Path
) -> None:
    sign_in(page, station)
    took_s = capture_and_send(page, "face%2Bpass")
    print(f"\nfrom the last click to the pass: {took_s:.2f} s")  # noqa: T201
    assert took_s <= 2.0
    expect(page.get_by_alt_text("The code of the pass")).to_be_visible()
    check_page(page)
    assert station.riders("SELECT medium FROM rider") == [("face+pass",)]
    assert station.riders("SELECT count(*) FROM template") == [(0,)]
    clip = held_up(later_frames(data), code_on(page), tmp_path / "held.mp4")
    summary, said = station.replay(station.add_gate("hall-1"), clip, engine)
    assert summary.opened == 1, said
    assert media_charged(station) == ["face+pass"]


def test_a_pass_without_a_face_never_asks_for_the_camera(
    page: Page, station: Station, engine: DlibEngine, data: Path, tmp_path: Path
) -> None:
    sign_in(page, station)
    page.goto("/enrollment/new?medium=pass")
    check_page(page)
    assert page.get_by_role("button", name="Start the camera").count() == 0
    page.get_by_label("Name", exact=True).fill("Example Rider")
    page.get_by_label("14 or over").check()
    page.get_by_label(re.compile("has read this text and agrees")).check()
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.get_by_alt_text("The code of the pass")).to_be_visible()
    assert station.riders("SELECT medium FROM rider") == [("pass",)]
    clip = held_up(later_frames(data), code_on(page), tmp_path / "held.mp4")
    summary, said = station.replay(station.add_gate("hall-1"), clip, engine)
    assert summary.opened == 1, said
    assert media_charged(station) == ["pass"]


def media_charged(station: Station) -> list[str]:
    """The medium of every ride in the ledger, in order."""
    rides = station.rows("SELECT medium FROM entry WHERE kind = 'ride' ORDER BY seq")
    return [medium for (medium,) in rides]
