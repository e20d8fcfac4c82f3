"""The sealed gallery: one gate reads it, one enrollment makes it, nobody changes it."""

from __future__ import annotations

import json
import struct
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import ValidationError

from models.wire.gallery import (
    GalleryRefused,
    GalleryRider,
    GallerySnapshot,
    open_gallery,
    seal_gallery,
)
from models.wire.times import TimeFormatError

ENROLLMENT = Ed25519PrivateKey.generate()
BOX = X25519PrivateKey.generate()
ACCOUNTS = ("0" * 32, "f" * 32)


def snapshot(**changes: object) -> GallerySnapshot:
    riders = tuple(
        GalleryRider(account=account, template=struct.pack("<3f", 0.6, -0.8, number), images=3)
        for number, account in enumerate(ACCOUNTS)
    )
    return GallerySnapshot.model_validate(
        {
            "engine_id": "dlib-resnet-1",
            "dimensions": 3,
            "version": 17,
            "gate": "south-1",
            "issued_at": "2026-11-22T18:49:07.250Z",
            "riders": riders,
            **changes,
        }
    )


def sealed(**changes: object) -> bytes:
    return seal_gallery(snapshot(**changes), BOX.public_key(), ENROLLMENT)


def opened(data: bytes, gate: str = "south-1", newest: int = 0) -> GallerySnapshot:
    return open_gallery(data, gate, BOX, ENROLLMENT.public_key(), newest)


def signed(line: bytes, contents: bytes, info: bytes | None = None) -> bytes:
    """A document with any line and contents, signed and encrypted with the right keys."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    box = suite.encrypt(contents, BOX.public_key(), info=line if info is None else info)
    return line + ENROLLMENT.sign(line + box) + box


def test_a_gate_opens_what_was_sealed_for_it() -> None:
    assert opened(sealed()) == snapshot()
    assert opened(sealed(), newest=17) == snapshot()
    assert struct.unpack("<3f", opened(sealed()).riders[1].template)[2] == 1.0


def test_an_empty_gallery_travels_too() -> None:
    assert opened(sealed(riders=())).riders == ()


def test_the_first_line_is_readable_and_the_rest_is_not() -> None:
    data = sealed()
    assert data.startswith(b"facefare-gallery-1 south-1 17\n")
    assert ACCOUNTS[1].encode() not in data
    assert b"dlib" not in data


def test_sealing_twice_gives_other_bytes() -> None:
    assert sealed() != sealed()


def test_another_box_key_does_not_open_it() -> None:
    data = seal_gallery(snapshot(), X25519PrivateKey.generate().public_key(), ENROLLMENT)
    with pytest.raises(GalleryRefused, match="does not open with this gate's key"):
        opened(data)


def test_another_signing_key_is_refused() -> None:
    data = seal_gallery(snapshot(), BOX.public_key(), Ed25519PrivateKey.generate())
    with pytest.raises(GalleryRefused, match="signature does not verify"):
        opened(data)


def test_every_truncation_is_refused() -> None:
    data = sealed()
    for length in range(len(data)):
        with pytest.raises(GalleryRefused):
            opened(data[:length])


def test_every_changed_byte_is_refused() -> None:
    data = bytearray(sealed())
    for position in range(len(data)):
        data[position] ^= 1
        with pytest.raises(GalleryRefused):
            opened(bytes(data))
        data[position] ^= 1
    assert opened(bytes(data)) == snapshot()


def test_appended_bytes_are_refused() -> None:
    with pytest.raises(GalleryRefused, match="signature does not verify"):
        opened(sealed() + b"\0")


def test_another_gates_gallery_is_refused_even_under_the_same_key() -> None:
    with pytest.raises(GalleryRefused, match="made for the gate north-1, not for south-1"):
        opened(sealed(gate="north-1"))


def test_an_older_gallery_is_refused() -> None:
    with pytest.raises(GalleryRefused, match="version 17, but version 18 was seen"):
        opened(sealed(), newest=18)


def test_a_line_that_contradicts_the_contents_is_refused() -> None:
    contents = snapshot().model_dump_json().encode()
    for line in (b"facefare-gallery-1 south-1 99\n", b"facefare-gallery-1 south-1 18\n"):
        with pytest.raises(GalleryRefused, match="disagree"):
            opened(signed(line, contents))


def test_a_box_made_for_another_line_does_not_open() -> None:
    line = b"facefare-gallery-1 south-1 17\n"
    contents = snapshot().model_dump_json().encode()
    assert opened(signed(line, contents)) == snapshot()
    with pytest.raises(GalleryRefused, match="does not open"):
        opened(signed(line, contents, info=b"facefare-gallery-1 south-1 16\n"))


@pytest.mark.parametrize(
    "line", [b"facefare-gallery-1 south-1\n", b"facefare-gallery-1 south-1 b\n"]
)
def test_a_line_of_another_shape_is_refused(line: bytes) -> None:
    with pytest.raises(GalleryRefused, match="first line cannot be read"):
        opened(signed(line, b"{}"))


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"<html>not found</html>", b"facefare-gallery-2 a 1\n"]
)
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(GalleryRefused, match="not a gallery of the format"):
        opened(data)


@pytest.mark.parametrize("contents", [b"", b"{}", b"[]", b"\xff", b'{"v":2}'])
def test_contents_of_another_shape_are_refused(contents: bytes) -> None:
    with pytest.raises(GalleryRefused, match="contents cannot be used"):
        opened(signed(b"facefare-gallery-1 south-1 17\n", contents))


@pytest.mark.parametrize(
    "changes",
    [
        {"dimensions": 4},
        {"dimensions": 2},
        {"riders": snapshot().riders + snapshot().riders[:1]},
        {"gate": "South 1"},
        {"version": -1},
        {"issued_at": "yesterday"},
        {"names": ["somebody"]},
    ],
)
def test_a_snapshot_that_contradicts_itself_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises((ValidationError, TimeFormatError)):
        snapshot(**changes)


@pytest.mark.parametrize(
    "rider",
    [
        {"account": ACCOUNTS[0], "template": "c2VjcmV0", "images": 0, "digits": "secret"},
        {"account": "secret", "template": "not base64: secret", "images": 3, "ask": "secret"},
        {"account": ACCOUNTS[0], "template": "c2VjcmV0", "images": 3, "name": "secret"},
        "secret",
    ],
)
def test_what_is_wrong_with_a_gallery_is_said_without_anything_that_was_in_it(
    rider: object,
) -> None:
    contents = {**snapshot().model_dump(mode="json"), "riders": [rider]}
    whole = json.dumps(contents).encode()
    for data in (whole, whole[:-1]):
        with pytest.raises(GalleryRefused, match="contents cannot be used") as refused:
            opened(signed(b"facefare-gallery-1 south-1 17\n", data))
        said = "".join(traceback.format_exception(refused.value))
        assert "secret" not in said and "c2VjcmV0" not in said and ACCOUNTS[0] not in said
