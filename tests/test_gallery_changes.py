"""What changed in a gallery: good on the version it names, for one gate, once and not again."""

from __future__ import annotations

import json
import struct
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from models.wire.gallery import (
    GalleryRefused,
    GalleryRider,
    GallerySnapshot,
    PassRules,
    open_gallery,
    seal_document,
    seal_gallery,
)
from models.wire.gallery_changes import (
    GalleryChange,
    is_change,
    open_change,
    seal_change,
)
from models.wire.keys import base64url, key_id, raw_public

ENROLLMENT = Ed25519PrivateKey.generate()
BOX = X25519PrivateKey.generate()
PASSES = Ed25519PrivateKey.generate().public_key()
RULES = PassRules(
    issuer="fares.example/test", keys=(base64url(raw_public(PASSES)),), valid_days_max=366,
    revoked=("r4nD0m-12bytes_A",),
)  # fmt: skip


def rider(number: int, **changes: object) -> GalleryRider:
    fields = {
        "account": f"{number:032x}",
        "template": struct.pack("<3f", 0.6, -0.8, number),
        "images": 3,
        **changes,
    }
    return GalleryRider.model_validate(fields)


BASE = GallerySnapshot(
    engine_id="dlib-resnet-1",
    dimensions=3,
    version=12,
    gate="south-1",
    issued_at="2026-11-22T18:49:07.250Z",
    riders=(rider(1), rider(2), rider(3)),
)


def change(**changes: object) -> GalleryChange:
    return GalleryChange.model_validate(
        {
            "engine_id": "dlib-resnet-1",
            "dimensions": 3,
            "base": 12,
            "version": 17,
            "gate": "south-1",
            "issued_at": "2026-11-22T19:00:00.000Z",
            "riders": (rider(3, digits="4711", ask=True), rider(4)),
            "gone": (f"{1:032x}",),
            "passes": RULES,
            **changes,
        }
    )


def sealed(**changes: object) -> bytes:
    return seal_change(change(**changes), BOX.public_key(), ENROLLMENT)


def opened(data: bytes, base: GallerySnapshot = BASE, newest: int = 12) -> GallerySnapshot:
    return open_change(data, base, BOX, ENROLLMENT.public_key(), newest)


def test_a_change_takes_out_who_is_gone_and_brings_who_is_new_or_changed() -> None:
    after = opened(sealed())
    assert (after.version, after.issued_at) == (17, "2026-11-22T19:00:00.000Z")
    assert {int(r.account, 16): (r.digits, r.ask) for r in after.riders} == {
        2: (None, False),
        3: ("4711", True),
        4: (None, False),
    }
    assert after.passes == RULES
    assert RULES.public_keys() == {key_id(PASSES): PASSES}


def test_a_change_may_change_nobody_and_only_revoke_a_pass() -> None:
    after = opened(sealed(riders=(), gone=()))
    assert after.riders == BASE.riders
    assert after.passes is not None
    assert after.passes.revoked == ("r4nD0m-12bytes_A",)


def test_a_change_is_told_from_a_whole_gallery_by_its_first_line() -> None:
    whole = seal_gallery(BASE, BOX.public_key(), ENROLLMENT)
    assert is_change(sealed())
    assert not is_change(whole)
    assert sealed().startswith(b"facefare-gallery-change-1 south-1 12 17\n")
    with pytest.raises(GalleryRefused, match="not a gallery of the format"):
        opened(whole)
    with pytest.raises(GalleryRefused, match="not a gallery of the format"):
        open_gallery(sealed(), "south-1", BOX, ENROLLMENT.public_key(), 0)


@pytest.mark.parametrize("version", [11, 13, 17])
def test_a_change_is_refused_on_every_other_version(version: int) -> None:
    other = BASE.model_copy(update={"version": version})
    with pytest.raises(
        GalleryRefused, match=f"counts from .* version 12, .* keeps version {version}"
    ):
        opened(sealed(), other)


def test_an_older_change_is_refused_after_a_newer_one() -> None:
    with pytest.raises(GalleryRefused, match="version 17, but version 18 was seen"):
        opened(sealed(), newest=18)


def test_every_truncation_is_refused() -> None:
    data = sealed()
    for length in range(len(data)):
        with pytest.raises(GalleryRefused):
            opened(data[:length])


def test_every_changed_byte_is_refused() -> None:
    data = bytearray(sealed())
    for place in range(len(data)):
        data[place] ^= 1
        with pytest.raises(GalleryRefused):
            opened(bytes(data))
        data[place] ^= 1
    assert opened(bytes(data)).version == 17


def test_a_change_of_another_signer_box_or_gate_is_refused() -> None:
    with pytest.raises(GalleryRefused, match="signature does not verify"):
        opened(seal_change(change(), BOX.public_key(), Ed25519PrivateKey.generate()))
    with pytest.raises(GalleryRefused, match="does not open with this gate's key"):
        opened(seal_change(change(), X25519PrivateKey.generate().public_key(), ENROLLMENT))
    with pytest.raises(GalleryRefused, match="made for the gate north-1, not for south-1"):
        opened(sealed(gate="north-1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"gone": (f"{9:032x}",)},
        {"gone": (f"{3:032x}",)},
        {"riders": (rider(4), rider(4))},
        {"engine_id": "onnx:sface"},
        {"dimensions": 4},
    ],
)
def test_a_change_that_does_not_fit_the_gallery_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(GalleryRefused, match="fetch the whole gallery"):
        opened(sealed(**changes))


def test_a_template_of_another_size_is_refused() -> None:
    with pytest.raises(GalleryRefused, match="contents cannot be used"):
        opened(sealed(riders=(rider(4, template=b"abcd"),)))


@pytest.mark.parametrize(
    "line",
    [
        b"facefare-gallery-change-1 south-1 11 17\n",
        b"facefare-gallery-change-1 south-1 12 18\n",
    ],
)
def test_a_line_that_contradicts_the_contents_is_refused(line: bytes) -> None:
    data = seal_document(line, change().model_dump_json().encode(), BOX.public_key(), ENROLLMENT)
    with pytest.raises(GalleryRefused, match="disagree"):
        opened(data)


@pytest.mark.parametrize("contents", [b"", b"[]", b'{"v":2}'])
def test_contents_of_another_shape_are_refused(contents: bytes) -> None:
    line = b"facefare-gallery-change-1 south-1 12 17\n"
    with pytest.raises(GalleryRefused, match="contents cannot be used"):
        opened(seal_document(line, contents, BOX.public_key(), ENROLLMENT))


@pytest.mark.parametrize(
    "changes",
    [{"keys": ()}, {"keys": ("A" * 42,)}, {"revoked": ("short",)}, {"valid_days_max": 0},
     {"issuer": ""}, {"secret": 1}],
)  # fmt: skip
def test_rules_for_passes_that_cannot_be_used_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PassRules.model_validate({**RULES.model_dump(), **changes})


@pytest.mark.parametrize("digits", ["471", "47111", "47a1", "４７１１", ""])
def test_digits_are_four_digits(digits: str) -> None:
    with pytest.raises(ValidationError):
        rider(1, digits=digits)


def test_a_gallery_of_before_has_neither_digits_nor_passes() -> None:
    old = BASE.model_dump_json(exclude={"passes": True, "riders": {"__all__": {"digits", "ask"}}})
    assert GallerySnapshot.model_validate_json(old) == BASE


@pytest.mark.parametrize(
    "changes",
    [
        {"riders": [{"account": "secret", "template": "c2VjcmV0", "images": 0}]},
        {"gone": ["secret"]},
        {"passes": {**RULES.model_dump(), "revoked": ["secret"]}},
        {"riders": [rider(4, template=b"secret").model_dump(mode="json")]},
    ],
)
def test_what_is_wrong_with_a_change_is_said_without_anything_that_was_in_it(
    changes: dict[str, object],
) -> None:
    contents = json.dumps({**change().model_dump(mode="json"), **changes}).encode()
    line = b"facefare-gallery-change-1 south-1 12 17\n"
    with pytest.raises(GalleryRefused, match="contents cannot be used") as refused:
        opened(seal_document(line, contents, BOX.public_key(), ENROLLMENT))
    said = "".join(traceback.format_exception(refused.value))
    assert "secret" not in said and "c2VjcmV0" not in said and f"{4:032x}" not in said
