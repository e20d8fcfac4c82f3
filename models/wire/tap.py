"""The tap: the signed record a gate makes of one passage.

A tap is a JWS (RFC 7515, EdDSA) over canonical JSON:

    {"account":"5f0c…","at":"2026-11-22T18:49:07.250Z","direction":"in",
     "evidence":{"engine":"dlib-resnet-1","frames":4,"gallery_version":3,"liveness":null,
                 "margin":0.31,"score":0.62},
     "gate":"south-1","medium":"face","prev":"00…00","seq":1,"station":"south",
     "tap_id":"019…","v":1}

The evidence is what the medium allows. A ``pass`` alone has been read without a face, so
there is no score: ``"evidence":{"pass_hash":"9f86…"}`` is the SHA-256 of the number of the
pass. ``face+pass`` has the members of a face and ``pass_hash`` as well.

``seq`` counts the gate's taps from 1 and ``prev`` is the SHA-256 of the gate's previous
tap as it travelled, so a gap, a replay or a deletion shows. The first tap's ``prev`` is
64 zeros. Money is not in a tap: a gate says who and when, never how much.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import FacefareError
from models.wire.canonical import CanonicalError, canonical_bytes, parse_canonical
from models.wire.keys import key_id, raw_public
from models.wire.times import parse_utc

TAP_TYPE = "facefare-tap+jws"
FIRST_PREV = "0" * 64

Medium = Literal["face", "face+pass", "pass"]
Direction = Literal["in", "out"]
Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
AccountId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
SHORT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ShortName = Annotated[str, Field(pattern=f"^{SHORT_NAME.pattern}$")]


_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_HEADER = {"alg", "typ", "kid"}


class TapRefused(FacefareError):
    """A tap that is malformed, unsigned or signed by another key."""


class Evidence(BaseModel):
    """How sure the gate was. ``liveness`` is null where no liveness check was run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine: str = Field(min_length=1, max_length=64)
    score: float
    margin: float
    frames: int = Field(ge=1, le=10_000)
    liveness: float | None
    gallery_version: int = Field(ge=0)


class FaceAndPassEvidence(Evidence):
    """A face that fits the account of a pass; the score is that of this one comparison."""

    pass_hash: Hex256


class PassEvidence(BaseModel):
    """A pass alone: which one, but not so that anybody could make a pass of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pass_hash: Hex256


AnyEvidence = Evidence | FaceAndPassEvidence | PassEvidence

_MEDIUM_OF: dict[type[BaseModel], Medium] = {
    FaceAndPassEvidence: "face+pass",
    PassEvidence: "pass",
}


def pass_hash(pass_id: str) -> str:
    """What a tap says of a pass: SHA-256 of its number."""
    return hashlib.sha256(pass_id.encode("ascii")).hexdigest()


class Tap(BaseModel):
    """One passage, as the gate saw it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: Literal[1] = 1
    tap_id: str
    gate: ShortName
    station: ShortName
    direction: Direction
    at: str
    account: AccountId
    medium: Medium
    evidence: Annotated[AnyEvidence, Field(union_mode="left_to_right")]
    seq: int = Field(ge=1, lt=2**53)
    prev: Hex256

    @field_validator("tap_id")
    @classmethod
    def _is_uuid7(cls, value: str) -> str:
        if not _UUID7.fullmatch(value):
            raise ValueError("a tap_id is a UUID of version 7 in lower case")
        return value

    @field_validator("at")
    @classmethod
    def _is_time(cls, value: str) -> str:
        parse_utc(value)
        return value

    @model_validator(mode="after")
    def _evidence_fits_the_medium(self) -> Tap:
        # A face's evidence with another medium was always a tap, and stays one.
        if _MEDIUM_OF.get(type(self.evidence), self.medium) != self.medium:
            raise ValueError(f"the medium {self.medium} has other evidence than this")
        return self

    @cached_property  # asked for by everyone who prices the tap
    def moment(self) -> datetime:
        """``at`` as an aware datetime."""
        return parse_utc(self.at)


def sign_tap(tap: Tap, key: Ed25519PrivateKey) -> str:
    """Return the tap as a compact JWS signed by the gate's ``key``."""
    return jwt.PyJWS().encode(
        canonical_bytes(tap.model_dump()),
        key,
        algorithm="EdDSA",
        headers={"typ": TAP_TYPE, "kid": key_id(key.public_key())},
    )


def check_tap(signed: str, key: Ed25519PublicKey) -> Tap:
    """Verify the signature and the form of a tap and return it; raise ``TapRefused`` otherwise.

    The JWS is read here, in the one form ``sign_tap`` writes, because a general reader costs
    more than the signature itself. The header only says what is known anyway: the algorithm
    and the type are fixed, and the key is the caller's, whatever ``kid`` claims. libsodium
    takes two thirds of OpenSSL's time for a signature and lets other threads go on meanwhile.
    """
    parts = signed.split(".")
    if len(parts) != 3:
        raise TapRefused("the tap's signature does not verify: a JWS has three parts")
    header, payload, signature = parts
    typ = _type(header)
    try:
        _verifier(raw_public(key)).verify(
            f"{header}.{payload}".encode("ascii"), _segment(signature)
        )
    except (CryptoError, UnicodeEncodeError) as error:
        raise TapRefused(
            "the tap's signature does not verify: it was changed or another gate's key made it"
        ) from error
    if typ != TAP_TYPE:
        raise TapRefused(f"this is not a tap: its type is {typ!r}")
    return _read_tap(_segment(payload))


def _read_tap(payload: bytes) -> Tap:
    try:
        tap = Tap.model_validate_json(payload)
        if _spelled(tap).encode() == payload:
            return tap
    except (ValidationError, CanonicalError):
        pass  # read again below, slowly, for the reason
    try:
        return Tap.model_validate(parse_canonical(payload))
    except CanonicalError as error:
        raise TapRefused(f"the tap cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TapRefused(f"the tap's field {where or 'body'} is wrong: {first['msg']}") from error


def _spelled(tap: Tap) -> str:
    """The tap's canonical JSON, three times as fast as a general writer; a test compares them.

    All text but the engine's name is of characters that JSON writes as they are.
    """
    return (
        f'{{"account":"{tap.account}","at":"{tap.at}","direction":"{tap.direction}",'
        f'"evidence":{{{_spelled_evidence(tap.evidence)}}},'
        f'"gate":"{tap.gate}","medium":"{tap.medium}","prev":"{tap.prev}","seq":{tap.seq},'
        f'"station":"{tap.station}","tap_id":"{tap.tap_id}","v":{tap.v}}}'
    )


def _spelled_evidence(saw: AnyEvidence) -> str:
    if isinstance(saw, PassEvidence):
        return f'"pass_hash":"{saw.pass_hash}"'
    liveness = "null" if saw.liveness is None else _number(saw.liveness)
    read = f'"pass_hash":"{saw.pass_hash}",' if isinstance(saw, FaceAndPassEvidence) else ""
    return (
        f'"engine":{_quoted(saw.engine)},"frames":{saw.frames},'
        f'"gallery_version":{saw.gallery_version},"liveness":{liveness},'
        f'"margin":{_number(saw.margin)},{read}"score":{_number(saw.score)}'
    )


def _number(value: float) -> str:
    text = repr(value)
    # JavaScript, and so RFC 8785, writes 1e-5 and 1.0 differently from Python.
    return canonical_bytes(value).decode() if "e" in text or text.endswith(".0") else text


@lru_cache(maxsize=64)
def _quoted(text: str) -> str:
    return canonical_bytes(text).decode()


def _segment(text: str) -> bytes:
    """The bytes of one part, which has exactly one spelling in unpadded base64url."""
    try:
        standard = text.encode("ascii").translate(_TO_STANDARD)
        data = binascii.a2b_base64(standard + b"==")
    except (binascii.Error, UnicodeEncodeError) as error:
        raise TapRefused(_NOT_BASE64URL) from error
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != standard:
        raise TapRefused(_NOT_BASE64URL)
    return data


_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/!!")  # what is not base64url becomes nothing at all
_NOT_BASE64URL = "the tap's signature does not verify: a part is not unpadded base64url"


@lru_cache(maxsize=4096)  # a gate has one key for all its taps
def _verifier(raw: bytes) -> VerifyKey:
    return VerifyKey(raw)


@lru_cache(maxsize=4096)  # every tap of a gate has the same header
def _type(header: str) -> Any:
    """The header's ``typ``; raise ``TapRefused`` for any header but an EdDSA signature's."""
    try:
        value = json.loads(_segment(header))
    except (ValueError, RecursionError) as error:
        raise TapRefused("the tap's signature does not verify: its header is not JSON") from error
    if not isinstance(value, dict) or value.get("alg") != "EdDSA" or not value.keys() <= _HEADER:
        raise TapRefused("the tap's signature does not verify: its header is not that of a tap")
    return value.get("typ")


def tap_hash(signed: str) -> str:
    """SHA-256 of the signed tap as it travels: the next tap's ``prev``."""
    return hashlib.sha256(signed.encode("ascii")).hexdigest()
