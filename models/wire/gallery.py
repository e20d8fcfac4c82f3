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
     "riders":[{"account":"5f0c…","images":3,"template":"AACAPwAA…","digits":"4711","ask":false}],
     "passes":{"issuer":"fares.example/metro","keys":["11qYAYKx…"],"valid_days_max":366,
               "revoked":["r4nD0m-12bytes_A"]}}

A snapshot is whole: a rider who is not in it is not to be recognised any more. ``digits``
are the last four of the rider's telephone number, asked for where the face is not sure
enough; ``ask`` says to ask every time, because somebody looks alike. ``passes`` is what the
gate needs to judge a QR pass: the keys that may have signed it, and the passes that are
revoked though they have not expired.

10,000 riders make 7.6 MB, so what changed since a snapshot travels by itself
(``models.wire.gallery_changes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import FacefareError
from models.wire.keys import KeyFileError, from_base64url, key_id
from models.wire.passes import PassId
from models.wire.tap import AccountId, ShortName
from models.wire.times import parse_utc

FORMAT = "facefare-gallery-1"
MEDIA_TYPE = "application/vnd.facefare.gallery"

_SIGNATURE_BYTES = 64
_LINE_BYTES_MAX = 160
_FLOAT_BYTES = 4


class GalleryRefused(FacefareError):
    """A gallery that is damaged, older than known, or not meant for this gate."""


class GalleryRider(BaseModel):
    """One rider to be recognised: ``template`` is little-endian float32, unit length.

    ``images`` is how many photos it was made from: the operating point depends on it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True,
        ser_json_bytes="base64", val_json_bytes="base64",
    )  # fmt: skip

    account: AccountId
    template: bytes
    images: int = Field(ge=1, le=1000)
    digits: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    ask: bool = False


class PassRules(BaseModel):
    """What a gate needs to judge passes: whose they are, and which are good no more.

    ``keys`` are Ed25519 public keys, raw in base64url; the newest signs, older ones stay until
    the last pass they signed has expired.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str = Field(min_length=1, max_length=120)
    keys: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")], ...] = Field(min_length=1)
    valid_days_max: int = Field(ge=1, le=3660)
    revoked: tuple[PassId, ...] = ()

    def public_keys(self) -> dict[str, Ed25519PublicKey]:
        """The keys by their id."""
        found = [Ed25519PublicKey.from_public_bytes(from_base64url(key)) for key in self.keys]
        return {key_id(key): key for key in found}

    @field_validator("keys")
    @classmethod
    def _are_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for key in keys:
                Ed25519PublicKey.from_public_bytes(from_base64url(key))
        except KeyFileError as error:
            raise ValueError(str(error)) from error
        return keys


class GallerySnapshot(BaseModel):
    """All templates that one gate may search, at one version.

    ``passes`` is None in a gallery of an enrollment that issues none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: Literal[1] = 1
    engine_id: str = Field(min_length=1, max_length=64)
    dimensions: int = Field(ge=1, le=4096)
    version: int = Field(ge=0, lt=2**53)
    gate: ShortName
    issued_at: str
    riders: tuple[GalleryRider, ...]
    passes: PassRules | None = None

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
    return seal_document(line, snapshot.model_dump_json().encode(), box_key, signing_key)


def seal_document(
    line: bytes, contents: bytes, box_key: X25519PublicKey, signing_key: Ed25519PrivateKey
) -> bytes:
    """Encrypt ``contents`` for one gate and sign it, bound to its first ``line``."""
    box = _suite().encrypt(contents, box_key, info=line)
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
    document = open_document(data, FORMAT, gate, enrollment_public_key)
    version = document.numbers(1)[0]
    check_age(version, newest_version_seen)
    try:
        snapshot = GallerySnapshot.model_validate_json(document.decrypted(box_private_key))
    except ValidationError as error:
        raise GalleryRefused(f"the gallery's contents cannot be used: {error}") from error
    if (snapshot.gate, snapshot.version) != (gate, version):
        raise GalleryRefused("the gallery's first line and its contents disagree")
    return snapshot


def check_age(version: int, newest_version_seen: int) -> None:
    """Raise ``GalleryRefused`` for a version older than one that was seen already."""
    if version < newest_version_seen:
        raise GalleryRefused(
            f"the gallery is version {version}, but version {newest_version_seen} was seen "
            "already; an older one may hold riders who have left"
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A document of enrollment for one gate whose signature has verified, still encrypted."""

    line: bytes
    box: bytes

    def numbers(self, count: int) -> tuple[int, ...]:
        """The ``count`` versions in the first line."""
        words = self.line.decode("ascii", "replace").split()[2:]
        if len(words) != count or not all(word.isascii() and word.isdigit() for word in words):
            raise GalleryRefused("the gallery's first line cannot be read")
        return tuple(int(word) for word in words)

    def decrypted(self, key: X25519PrivateKey) -> bytes:
        """The contents; raises ``GalleryRefused`` for another gate's key."""
        try:
            return _suite().decrypt(self.box, key, info=self.line)
        except (InvalidTag, ValueError) as error:
            raise GalleryRefused(
                "the gallery does not open with this gate's key; provision the gate again"
            ) from error


def open_document(
    data: bytes, document_format: str, gate: str, enrollment_public_key: Ed25519PublicKey
) -> Document:
    """Verify who made the document and for which gate; raise ``GalleryRefused`` otherwise."""
    line, signature, box = _parts(data, document_format)
    try:
        enrollment_public_key.verify(signature, line + box)
    except InvalidSignature as error:
        raise GalleryRefused(
            "the gallery's signature does not verify: it is damaged, cut short or not from this "
            "enrollment; fetch it again"
        ) from error
    # Only read once the signature has verified: this is what enrollment wrote.
    addressee = line.split(b" ")[1].strip().decode("ascii", "replace")
    if addressee != gate:
        raise GalleryRefused(f"the gallery was made for the gate {addressee}, not for {gate}")
    return Document(line, box)


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _parts(data: bytes, document_format: str) -> tuple[bytes, bytes, bytes]:
    end = data.find(b"\n", 0, _LINE_BYTES_MAX) + 1
    if not end or not data.startswith(document_format.encode() + b" "):
        raise GalleryRefused(f"this is not a gallery of the format {document_format}")
    box_at = end + _SIGNATURE_BYTES
    return data[:end], data[end:box_at], data[box_at:]
