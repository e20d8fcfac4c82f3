"""Frames of the desk's camera: what is wrong with each, at once, and nothing kept."""

from __future__ import annotations

import io
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageFilter

from enrollment.capture import FRAME_BYTES_MAX, FRAME_SIDE_PX_MAX
from models.faces.quality import Reason
from tests.desk import (
    FIRST,
    FIRST_AGAIN,
    NOBODY,
    Desk,
    encoded,
    fields,
    load_engine,
    photo,
    post,
    uploads,
)

# The expected reason of each picture of the quality set.
QUALITY = {
    "pose/left_face.jpeg": Reason.TURNED,
    "pose/rise_face.jpeg": Reason.TILTED_UP_OR_DOWN,
    "pose/right_wryneck.png": Reason.TILTED_SIDEWAYS,
    "reaction/close_eyes.jpeg": Reason.EYES_CLOSED,
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("capture"))
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def small(data: bytes, side: int = FRAME_SIDE_PX_MAX) -> Image.Image:
    """A photograph as the page's script sends it."""
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((side, side))
    return image


def jpeg(image: Image.Image) -> bytes:
    return encoded(image, "JPEG", quality=92)


def ask(browser: FlaskClient, data: bytes, **headers: str) -> Any:
    page = browser.get("/enrollment/new").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    sent = {"Content-Type": "image/jpeg", "X-CSRFToken": token[1], **headers}
    return browser.post("/enrollment/capture", data=data, headers=sent)


def reasons(browser: FlaskClient, image: Image.Image) -> list[str]:
    answer = ask(browser, jpeg(image))
    assert answer.status_code == 200
    return [reason["name"] for reason in answer.json["reasons"]]


def test_a_good_frame_is_good(browser: FlaskClient) -> None:
    told = ask(browser, jpeg(small(photo(FIRST)))).json
    assert (told["good"], told["faces"], told["reasons"]) == (True, 1, [])
    assert abs(told["yaw_deg"]) < 30 and abs(told["pitch_deg"]) < 25


def test_what_is_wrong_is_named_as_the_standard_does_and_said_in_words(
    browser: FlaskClient,
) -> None:
    good = small(photo(FIRST))
    dark = good.point(lambda value: value * 0.2)
    assert Reason.TOO_DARK.value in reasons(browser, dark)
    blurred = good.filter(ImageFilter.GaussianBlur(6))
    told = ask(browser, jpeg(blurred)).json
    assert {"name": "sharpness", "words": "Hold still; the picture is blurred."} in told["reasons"]
    far = Image.new("RGB", (640, 480), (120, 120, 120))
    tiny = small(photo(FIRST), 260)
    far.paste(tiny, (200, 100))
    assert Reason.FACE_TOO_SMALL.value in reasons(browser, far)


@pytest.mark.parametrize(("name", "reason"), QUALITY.items())
def test_each_picture_of_the_quality_set_gets_its_reason(
    browser: FlaskClient, name: str, reason: Reason
) -> None:
    """The frame may also show no face at all to the quicker search; it is never good."""
    found = reasons(browser, small(photo(f"faces/quality/{name}")))
    assert reason.value in found or found == ["single_face_present"]


def test_a_masked_face_is_never_good(browser: FlaskClient) -> None:
    """Painted, as in the test of the measure itself. The quick search may not even find it."""
    frame = np.asarray(small(photo(FIRST))).copy()
    (face,) = load_engine().find(frame)
    jaw = np.concatenate([face.landmarks[1:16], face.landmarks[29:30]]).astype(np.int32)
    cv2.fillPoly(frame, [jaw], (120, 170, 215))
    found = set(reasons(browser, Image.fromarray(frame)))
    assert found & {Reason.MOUTH_COVERED.value, "single_face_present"}


def test_the_words_are_chinese_for_who_reads_chinese(browser: FlaskClient) -> None:
    blurred = small(photo(FIRST)).filter(ImageFilter.GaussianBlur(6))
    told = ask(browser, jpeg(blurred), **{"Accept-Language": "zh"}).json
    assert any(re.search("[\u4e00-\u9fff]", reason["words"]) for reason in told["reasons"])


def test_nobody_two_people_and_somebody_behind_are_told_apart(browser: FlaskClient) -> None:
    nobody = ask(browser, jpeg(small(photo(NOBODY)))).json
    assert (nobody["faces"], nobody["reasons"][0]["name"]) == (0, "single_face_present")
    assert nobody["reasons"][0]["words"] == "Put your face into the oval."
    face = small(photo(FIRST), 480)
    two = Image.new("RGB", (640, 480), (90, 90, 90))
    left = face.crop((face.width // 6, 0, face.width * 5 // 6, face.height)).resize((300, 480))
    two.paste(left, (0, 0))
    two.paste(left.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (330, 0))
    told = ask(browser, jpeg(two)).json
    assert (told["faces"], told["good"]) == (2, False)
    assert told["reasons"][0]["words"] == "Only the rider may be before the camera."
    behind = Image.new("RGB", (640, 640), (90, 90, 90))
    behind.paste(small(photo(FIRST)), (0, 0))
    far = small(photo(FIRST), 260)
    behind.paste(far.crop((50, 0, 178, far.height)), (512, 150))
    told = ask(browser, jpeg(behind)).json
    assert (told["faces"], told["good"]) == (2, False)
    assert "in the background" in told["reasons"][0]["words"]


def test_a_frame_is_answered_within_200_ms(browser: FlaskClient) -> None:
    load_engine()
    frame = jpeg(small(photo(FIRST)))
    page = browser.get("/enrollment/new").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    headers = {"Content-Type": "image/jpeg", "X-CSRFToken": token[1]}
    took_ms = []
    for _ in range(15):
        begun = time.perf_counter()
        answer = browser.post("/enrollment/capture", data=frame, headers=headers)
        took_ms.append((time.perf_counter() - begun) * 1000)
        assert answer.json is not None and answer.json["good"]
    median_ms = statistics.median(took_ms)
    print(f"\na frame takes {median_ms:.0f} ms (median of {len(took_ms)}, most {max(took_ms):.0f})")  # noqa: T201
    assert median_ms <= 200


def test_from_the_last_frame_to_the_pass_takes_a_second_of_work(
    desk: Desk, browser: FlaskClient
) -> None:
    """Sending the form with three frames, to the page with the pass on it.

    The limit is two seconds; half of them are work, counted so that other programs on the
    machine do not matter. ``test_desk_camera`` holds the two seconds in a real browser.
    """
    load_engine()
    frames = [jpeg(small(photo(name))) for name in (FIRST, FIRST_AGAIN, FIRST)]
    given = {**fields(), "medium": "face+pass", "consent_text": "carried-en-1"}
    took_s, worked_s = [], []
    for _ in range(3):
        sent = {**given, "form_id": secrets.token_hex(16), "photos": uploads(frames)}
        begun, worked = time.perf_counter(), time.process_time()
        answer = post(browser, "/enrollment/new", sent)
        took_s.append(time.perf_counter() - begun)
        worked_s.append(time.process_time() - worked)
        assert "data:image/svg+xml" in answer.text
    print(f"\nthe pass comes after {min(took_s):.2f} s ({min(worked_s):.2f} s of processor time)")  # noqa: T201
    assert min(worked_s) <= 1.0


def test_what_is_no_frame_is_refused_with_the_reason(browser: FlaskClient) -> None:
    for data, why in (
        (b"hello", "not a JPEG, PNG or WebP"),
        (jpeg(small(photo(FIRST)))[:5000], "cut short or damaged"),
        (jpeg(small(photo(FIRST), 641)), "at most 640 pixels"),
    ):
        answer = ask(browser, data)
        assert answer.status_code == 400
        assert why in answer.json["problem"]
    noise = np.random.default_rng(1).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    heavy = encoded(Image.fromarray(noise), "PNG")
    assert len(heavy) > FRAME_BYTES_MAX
    assert ask(browser, heavy).status_code == 413


def test_frames_leave_nothing_behind(desk: Desk, browser: FlaskClient) -> None:
    ask(browser, jpeg(small(photo(FIRST))))  # counts as signed in
    before = desk.rows(), desk.files()
    for _ in range(3):
        ask(browser, jpeg(small(photo(FIRST))))
    assert (desk.rows(), desk.files()) == before
    stored = b"".join(path.read_bytes() for path in desk.data.path.rglob("*") if path.is_file())
    assert b"\xff\xd8\xff" not in stored


def test_frames_are_for_signed_in_desk_staff_with_their_own_page(desk: Desk) -> None:
    frame = jpeg(small(photo(FIRST)))
    visitor = desk.app.test_client()
    assert visitor.post("/enrollment/capture", data=frame).status_code == 400  # no token
    signed_in = desk.signed_in("enroller", "service")
    assert signed_in.post("/enrollment/capture", data=frame).status_code == 400
    finance = desk.signed_in("finance")
    page = finance.get("/staff/account").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    headers = {"Content-Type": "image/jpeg", "X-CSRFToken": token[1]}
    answer = finance.post("/enrollment/capture", data=frame, headers=headers)
    assert answer.status_code == 403


def test_the_camera_is_allowed_on_the_pages_that_take_photos_only(
    desk: Desk, browser: FlaskClient
) -> None:
    asked = browser.get("/enrollment/new").headers["Permissions-Policy"]
    assert asked.startswith("camera=(self)")
    assert "Permissions-Policy" not in browser.get("/enrollment/").headers
