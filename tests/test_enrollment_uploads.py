"""Photos that cannot be used: each upload gets its own reason, and nothing of it stays."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageFilter

from enrollment.form_pages import _picture
from enrollment.photos import read_photo
from tests.desk import (
    FIRST,
    NOBODY,
    TWO_PEOPLE,
    Desk,
    encoded,
    fields,
    load_engine,
    photo,
    post,
    uploads,
)

PAYLOAD = b"<script>alert(1)</script><?php system('id'); ?>"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("uploads"))
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def portrait() -> Image.Image:
    with Image.open(io.BytesIO(photo(FIRST))) as image:
        return image.convert("RGB")


def masked() -> bytes:
    frame = read_photo(photo(FIRST)).copy()
    (face,) = load_engine().find(frame)
    jaw = np.concatenate([face.landmarks[1:16], face.landmarks[29:30]]).astype(np.int32)
    cv2.fillPoly(frame, [jaw], (120, 170, 215))
    return encoded(Image.fromarray(frame), "JPEG")


def on_its_side() -> bytes:
    return encoded(portrait().rotate(90, expand=True), "JPEG")


UPLOADS: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "blurred": (
        lambda: encoded(portrait().filter(ImageFilter.GaussianBlur(9)), "JPEG"),
        ("Hold still; the picture is blurred",),
    ),
    "dark": (
        lambda: encoded(portrait().point(lambda value: value * 0.2), "JPEG"),
        ("It is too dark here",),
    ),
    "masked": (masked, ("Take off the mask", "no face was found")),
    "two people": (lambda: photo(TWO_PEOPLE), ("2 faces are in it",)),
    "nobody": (lambda: photo(NOBODY), ("no face was found in it",)),
    "on its side": (on_its_side, ("no face was found in it",)),
    "fifty megapixels": (
        lambda: encoded(Image.new("L", (8660, 5774), 128), "JPEG"),
        ("8660 × 5774 pixels, above the limit",),
    ),
    "a PDF": (lambda: b"%PDF-1.7\n" + photo(FIRST), ("it is not a JPEG, PNG or WebP picture",)),
    "a GIF that is JavaScript": (
        lambda: b"GIF89a/*" + bytes(300) + b"*/=1;alert(1)",
        ("it is not a JPEG, PNG or WebP picture",),
    ),
    "a JPEG that is HTML": (
        lambda: b"\xff\xd8\xff" + PAYLOAD * 100,
        ("it is cut short or damaged",),
    ),
    "cut short": (lambda: photo(FIRST)[:50_000], ("it is cut short or damaged",)),
    "too small": (
        lambda: encoded(portrait().resize((90, 110)), "JPEG"),
        ("it has only 90 × 110 pixels",),
    ),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_each_upload_gets_its_reason_and_nothing_is_stored(
    desk: Desk, browser: FlaskClient, name: str
) -> None:
    make, sentences = UPLOADS[name]
    data = make()
    before = desk.rows(), desk.files(), desk.data_keys()
    answer = post(browser, "/enrollment/new", {**fields(), "photos": uploads([data])})
    assert answer.status_code == 400
    assert "Photo 1 cannot be used" in answer.text
    assert any(sentence in answer.text for sentence in sentences), answer.text
    assert (desk.rows(), desk.files(), desk.data_keys()) == before
    stored = b"".join(path.read_bytes() for path in desk.data.path.rglob("*") if path.is_file())
    telling = (data[at : at + 64] for at in range(0, len(data), 4096))
    assert not any(piece in stored for piece in telling if len(set(piece)) > 16)


def test_what_hides_behind_a_photo_never_comes_back() -> None:
    """A file that is a photo and something else is read as pixels, and only those go on."""
    data = photo(FIRST) + PAYLOAD
    assert read_photo(data).shape[2] == 3
    shown = _picture(data)
    assert shown is not None and shown.startswith("data:image/jpeg;base64,")
    assert PAYLOAD not in _decoded(shown)
    assert _picture(b"no photo") is None


def _decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_the_place_written_into_a_photo_does_not_come_back() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at the rider's home"
    exif[0x8825] = {1: "N", 2: (39.0, 54.0, 0.0)}
    shown = _picture(encoded(portrait(), "JPEG", exif=exif))
    assert shown is not None
    assert b"home" not in _decoded(shown) and b"Exif" not in _decoded(shown)
