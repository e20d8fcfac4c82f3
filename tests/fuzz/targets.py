"""What reads bytes from strangers, each as one function from bytes, with seeds to start from.

A target may return anything or raise a ``FacefareError``, which is a sentence for whoever
sent the bytes. Every other exception is a finding.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PIL import Image

from enrollment.photos import read_photo
from enrollment.rider_passkeys import read_answer
from fuzz.files import gate_targets, message_targets, statement_targets
from fuzz.target import Read, Target, of_text
from ledger.arrivals import read_tap
from ledger.fares.gtfs import import_feed
from models.access.gates import RegisteredGate
from models.log.cosignatures import Cosigner, cosign, find_cosignature
from models.log.notes import (
    Checkpoint,
    check_checkpoint,
    parse_note,
    parse_signature,
    sign_checkpoint,
)
from models.log.receipts import check_receipt, read_receipt
from models.log.submissions import read_submission
from models.log.tiles import parse_tile
from models.log.tree import EMPTY_ROOT, leaf_hash
from models.settings import TEMPLATE, parse_settings
from models.wire.canonical import canonical_bytes, parse_canonical
from models.wire.gallery import GallerySnapshot, open_gallery, seal_gallery
from models.wire.gallery_changes import GalleryChange, open_change, seal_change
from models.wire.keys import key_id
from models.wire.pass_text import pack_pass, unpack_pass
from models.wire.passes import Pass, check_pass, sign_pass
from models.wire.tap import FIRST_PREV, Evidence, Tap, sign_tap
from models.wire.tokens import Request, check_gate_token, issue_gate_token
from tests.fares_feed import FILES as FEED

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOX = X25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ORIGIN = "fares.example/city"
PHOTOS = ("JPEG", "PNG", "WEBP")
ACCOUNT = "5f0c" * 8
_BODY = Checkpoint(ORIGIN, 0, EMPTY_ROOT).body()
_PASSKEY = '{"id": "AQI", "rawId": "AQI", "type": "public-key", "response": {}}'


def _pictures(*kinds: str) -> Iterator[bytes]:
    grey = np.linspace(0, 255, 160 * 120, dtype=np.uint8).reshape(120, 160)
    for kind in kinds:
        out = io.BytesIO()
        Image.fromarray(grey).convert("RGB").save(out, kind)
        yield out.getvalue()


def _tap() -> str:
    evidence = Evidence(
        engine="dlib-resnet-1", score=0.62, margin=0.31, frames=4, liveness=None, gallery_version=3
    )
    tap = Tap(
        tap_id="019366f2-8d3c-7a10-8a4e-1f2e3d4c5b6a",
        gate="south-1",
        station="south",
        direction="in",
        at="2026-11-22T11:59:07.250Z",
        account=ACCOUNT,
        medium="face",
        evidence=evidence,
        seq=1,
        prev=FIRST_PREV,
    )
    return sign_tap(tap, KEY)


GATE = RegisteredGate("south-1", "south", "in", KEY.public_key(), BOX.public_key(), revoked=False)


def _read_tap(text: str) -> object:
    return read_tap(text, "south-1", GATE, NOW)


def _gate_token(text: str) -> object:
    return check_gate_token(
        text,
        lambda kid: GATE,
        "ledger",
        Request("POST", "/api/v1/taps", b"{}"),
        NOW,
        lambda jti, expires: True,
    )


def _token() -> str:
    request = Request("POST", "/api/v1/taps", b"{}")
    return issue_gate_token(KEY, "south-1", "ledger", request, NOW)


def _pass() -> str:
    issued = Pass(
        pass_id="0123456789abcdef",
        account=ACCOUNT,
        medium="pass",
        issued_at=NOW,
        expires_at=NOW + timedelta(days=30),
        template=None,
    )
    return sign_pass(issued, ORIGIN, KEY)


def _check_pass(text: str) -> object:
    return check_pass(text, {key_id(KEY.public_key()): KEY.public_key()}, ORIGIN, NOW)


def _scanned(text: str) -> object:
    return _check_pass(unpack_pass(text))


def _signed_anew(text: str, read: Read) -> Target:
    """Any payload, signed by the right key: what a check of the signature would hide."""
    payload = jwt.api_jws.decode(text, options={"verify_signature": False})
    header = jwt.get_unverified_header(text)

    def read_signed(data: bytes) -> object:
        return read(jwt.api_jws.encode(data, KEY, "EdDSA", header).encode())

    return Target(read_signed, (payload,))


def _gallery(data: bytes) -> object:
    return open_gallery(
        data,
        gate="south-1",
        box_private_key=BOX,
        enrollment_public_key=KEY.public_key(),
        newest_version_seen=0,
    )


def _snapshot() -> GallerySnapshot:
    return GallerySnapshot(
        engine_id="dlib-resnet-1",
        dimensions=128,
        version=3,
        gate="south-1",
        issued_at="2026-11-22T11:59:07.250Z",
        riders=(),
    )


def _sealed() -> bytes:
    return seal_gallery(_snapshot(), BOX.public_key(), KEY)


def _sealed_change() -> bytes:
    change = GalleryChange(
        base=3,
        gone=(),
        **{**_snapshot().model_dump(exclude={"v"}), "version": 4},
    )
    return seal_change(change, BOX.public_key(), KEY)


def _gallery_change(data: bytes) -> object:
    return open_change(data, _snapshot(), BOX, KEY.public_key(), newest_version_seen=3)


_RECEIPT = "c2sp.org/tlog-proof@v1\nextra e30=\nindex 0\n\n" + sign_checkpoint(
    Checkpoint(ORIGIN, 1, leaf_hash(b"{}")), KEY
)


def _feed(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def _read_feed(data: bytes) -> object:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        return import_feed(Path(file.name), NOW.date())


def _read_feed_file(data: bytes) -> object:
    """A good feed in which one file, named in the first line, is another."""
    name, _, text = data.decode("utf-8", "replace").partition("\n")
    return _read_feed(_feed({**FEED, name if name in FEED else "stops.txt": text}))


def _cosignature(text: str) -> object:
    lines = [parse_signature(line) for line in text.splitlines()]
    return find_cosignature(_BODY, lines, Cosigner("witness.example", KEY.public_key()))


@cache
def targets() -> dict[str, Target]:
    """Everything that is fuzzed, by name."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY)
    canonical = canonical_bytes({"b": [1, 2.5, None, True], "a": "é"})
    settings = TEMPLATE.format(operator="City", origin=ORIGIN)
    cosigned = cosign(_BODY, "witness.example", KEY, int(NOW.timestamp())).line()
    return {
        "photo": Target(read_photo, tuple(_pictures(*PHOTOS)), tuple(_pictures("GIF", "BMP"))),
        "tap": Target(of_text(_read_tap), (_tap().encode(),)),
        "gate-token": Target(of_text(_gate_token), (_token().encode(),)),
        "pass": Target(of_text(_check_pass), (_pass().encode(),)),
        "tap-signed": _signed_anew(_tap(), of_text(_read_tap)),
        "gate-token-signed": _signed_anew(_token(), of_text(_gate_token)),
        "pass-signed": _signed_anew(_pass(), of_text(_check_pass)),
        "qr": Target(of_text(_scanned), (pack_pass(_pass()).encode(),)),
        "gallery": Target(_gallery, (_sealed(),)),
        "note": Target(of_text(parse_note), (note.encode(),)),
        "checkpoint": Target(
            of_text(lambda text: check_checkpoint(text, ORIGIN, KEY.public_key())), (note.encode(),)
        ),
        "receipt": Target(
            of_text(
                lambda text: (read_receipt(text), check_receipt(text, ORIGIN, KEY.public_key()))
            ),
            (_RECEIPT.encode(),),
        ),
        "submission": Target(of_text(read_submission), (f"old 0\n\n{note}".encode(),)),
        "tile": Target(of_text(parse_tile), (b"0/x001/234.p/5", b"entries/000", b"1/067")),
        "canonical": Target(parse_canonical, (canonical,), odd=(json.dumps({"a": [1]}).encode(),)),
        "settings": Target(
            of_text(lambda text: parse_settings(text, Path("facefare.toml"))), (settings.encode(),)
        ),
        "feed": Target(_read_feed, (_feed(FEED),)),
        "feed-file": Target(
            _read_feed_file, tuple(f"{name}\n{text}".encode() for name, text in FEED.items())
        ),
        "cosignature": Target(of_text(_cosignature), (cosigned.encode(),)),
        "passkey": Target(read_answer, (_PASSKEY.encode(),)),
        "gallery-change": Target(_gallery_change, (_sealed_change(),)),
        **statement_targets(),
        **message_targets(),
        **gate_targets(),
    }
