"""The gallery as a gate receives it: sealed for one gate, signed by enrollment.

Three parts, one after the other:

    facefare-gallery-1 south-1 17\\n     line: format, gate, gallery version
    64 bytes                            Ed25519 signature over the line and the third part
    the rest                            HPKE (RFC 9180) single shot: a 32-byte encapsulated
                                        key, then ciphertext and tag; its info is the line

HPKE runs with X25519, HKDF-SHA256 and AES-256-GCM to the gate's own box key. Enrollment
alone can make such a document, one gate alone can read it, and the line is bound by both.
The gate keeps exactly these bytes on its disk and opens them again at each start.

The plaintext is JSON; a template is base64url of little-endian float32 numbers:

    {"v":1,"engine_id":"dlib-resnet-1","dimensions":128,"version":17,"gate":"south-1",
     "issued_at":"2026-11-22T18:49:07.250Z",
     "riders":[{"account":"5f0c…","images":3,"template":"AACAPwAA…"}]}

A snapshot is whole: a rider who is not in it is not to be recognised any more.
"""

from __future__ import annotations

from typing import Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import FacefareError
from models.wire.tap import AccountId, ShortName
from models.wire.times import parse_utc

FORMAT = "facefare-gallery-1"
MEDIA_TYPE = "application/vnd.facefare.gallery"

_SIGNATURE_BYTES = 64
_LINE_BYTES_MAX = 128
_FLOAT_BYTES = 4


class GalleryRefused(FacefareError):
    """A gallery that is damaged, older than known, or not meant for this gate."""


class GalleryRider(BaseModel):
    """One rider to be recognised: ``template`` is little-endian float32, unit length.

    ``images`` is how many photos it was made from: the operating point depends on it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    account: AccountId
    template: bytes
    images: int = Field(ge=1, le=1000)


class GallerySnapshot(BaseModel):
    """All templates that one gate may search, at one version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    engine_id: str = Field(min_length=1, max_length=64)
    dimensions: int = Field(ge=1, le=4096)
    version: int = Field(ge=0, lt=2**53)
    gate: ShortName
    issued_at: str
    riders: tuple[GalleryRider, ...]

    @field_validator("issued_at")
    @classmethod
    def _is_time(cls, value: str) -> str:
        parse_utc(value)
        return value

    @model_validator(mode="after")
    def _templates_are_whole(self) -> GallerySnapshot:
        wanted = self.dimensions * _FLOAT_BYTES
        if any(len(rider.template) != wanted for rider in self.riders):
            raise ValueError(f"every template has {self.dimensions} float32 numbers")
        if len({rider.account for rider in self.riders}) != len(self.riders):
            raise ValueError("an account is in the gallery twice")
        return self


def seal_gallery(
    snapshot: GallerySnapshot, box_key: X25519PublicKey, signing_key: Ed25519PrivateKey
) -> bytes:
    """Encrypt ``snapshot`` to its gate's ``box_key`` and sign it as enrollment."""
    line = f"{FORMAT} {snapshot.gate} {snapshot.version}\n".encode("ascii")
    box = _suite().encrypt(snapshot.model_dump_json().encode(), box_key, info=line)
    return line + signing_key.sign(line + box) + box


def open_gallery(
    data: bytes,
    gate: str,
    box_private_key: X25519PrivateKey,
    enrollment_public_key: Ed25519PublicKey,
    newest_version_seen: int,
) -> GallerySnapshot:
    """Verify, decrypt and check a sealed gallery for ``gate``.

    Raises ``GalleryRefused`` if it is not a gallery, was changed, cut short, signed by
    another key, made for another gate or key, or older than ``newest_version_seen``.
    """
    line, signature, box = _parts(data)
    try:
        enrollment_public_key.verify(signature, line + box)
    except InvalidSignature as error:
        raise GalleryRefused(
            "the gallery's signature does not verify: it is damaged, cut short or not from this "
            "enrollment; fetch it again"
        ) from error
    addressee, version = _read_line(line)
    if addressee != gate:
        raise GalleryRefused(f"the gallery was made for the gate {addressee}, not for {gate}")
    if version < newest_version_seen:
        raise GalleryRefused(
            f"the gallery is version {version}, but version {newest_version_seen} was seen "
            "already; an older one may hold riders who have left"
        )
    snapshot = _decrypt(line, box, box_private_key)
    if (snapshot.gate, snapshot.version) != (addressee, version):
        raise GalleryRefused("the gallery's first line and its contents disagree")
    return snapshot


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    end = data.find(b"\n", 0, _LINE_BYTES_MAX) + 1
    if not end or not data.startswith(FORMAT.encode() + b" "):
        raise GalleryRefused(f"this is not a gallery of the format {FORMAT}")
    box_at = end + _SIGNATURE_BYTES
    return data[:end], data[end:box_at], data[box_at:]


def _read_line(line: bytes) -> tuple[str, int]:
    # Only read once the signature has verified: this is what enrollment wrote.
    words = line.decode("ascii", "replace").split()
    if len(words) != 3 or not words[2].isdigit():
        raise GalleryRefused("the gallery's first line cannot be read")
    return words[1], int(words[2])


def _decrypt(line: bytes, box: bytes, key: X25519PrivateKey) -> GallerySnapshot:
    try:
        plaintext = _suite().decrypt(box, key, info=line)
    except (InvalidTag, ValueError) as error:
        raise GalleryRefused(
            "the gallery does not open with this gate's key; provision the gate again"
        ) from error
    try:
        return GallerySnapshot.model_validate_json(plaintext)
    except (ValidationError, FacefareError) as error:
        raise GalleryRefused(f"the gallery's contents cannot be used: {error}") from error
