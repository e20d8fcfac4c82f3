"""The pass: a signed token in a QR code, on a telephone or on paper.

A pass is a JWT (RFC 7519, EdDSA). Its header and its claims, and nothing else:

    {"alg":"EdDSA","kid":"kPrK_qmx…","typ":"facefare-pass+jwt"}
    {"aud":"fares.example/metro/gates","exp":1795336147,"iat":1763800147,
     "iss":"fares.example/metro","jti":"r4nD0m-12bytes_A","med":"face+pass",
     "nbf":1763800147,"sub":"5f0c…","eng":"dlib-resnet-1","img":3,"tpl":"fwCB…"}

``iss`` is the operator's origin and ``aud`` the gates of that operator. ``sub`` is the
account, ``jti`` the number of the pass, ``med`` the medium. Only a ``face+pass`` has the
last three: engine, number of photos, and the template in one signed byte a number
(``models.faces.quantise``); nobody but the rider keeps it. Times are whole seconds.

The code a rider shows holds the token packed (``models.wire.pass_text``). What is refused says
so in a sentence that the gate can show to whoever holds the pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import FacefareError
from models.wire.keys import KeyFileError, base64url, from_base64url, key_id
from models.wire.tap import AccountId

PASS_TYPE = "facefare-pass+jwt"  # noqa: S105 - a media type, not a secret
VALID_FOR_MAX = timedelta(days=366)
CLOCK_LEEWAY = timedelta(seconds=60)
TEMPLATE_BYTES_MAX = 512

_HEADER = {"alg", "kid", "typ"}

PassMedium = Literal["face+pass", "pass"]
PassId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16}$")]
PASS_ID_BYTES = 12
Seconds = Annotated[int, Field(ge=0, lt=2**40)]


class PassRefused(FacefareError):
    """A pass that opens nothing; the message is for the person who shows it."""


class NotAPass(PassRefused):
    """Some other QR code or token, or a pass that is damaged."""


class PassForged(PassRefused):
    """A pass that this operator's keys did not sign, or whose contents were changed."""


class PassExpired(PassRefused):
    """A pass that was good once."""


class PassNotYetValid(PassRefused):
    """A pass that will be good later; or the clock of this machine is wrong."""


@dataclass(frozen=True, slots=True)
class CarriedTemplate:
    """A rider's template as the pass carries it: ``codes`` is one signed byte a number."""

    engine_id: str
    images: int
    codes: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass says; ``template`` is there exactly for ``face+pass``."""

    pass_id: str
    account: str
    medium: PassMedium
    issued_at: datetime
    expires_at: datetime
    template: CarriedTemplate | None


class _Claims(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    iss: str
    aud: str
    sub: AccountId
    jti: PassId
    iat: Seconds
    nbf: Seconds
    exp: Seconds
    med: PassMedium
    eng: str | None = Field(default=None, min_length=1, max_length=64)
    img: int | None = Field(default=None, ge=1, le=1000)
    tpl: str | None = Field(default=None, min_length=1, max_length=TEMPLATE_BYTES_MAX * 4 // 3 + 2)

    @model_validator(mode="after")
    def _template_is_whole(self) -> _Claims:
        carried = [value is not None for value in (self.eng, self.img, self.tpl)]
        if carried != [self.med == "face+pass"] * 3:
            raise ValueError("a face+pass carries a template, and a pass none")
        return self


def gates_of(issuer: str) -> str:
    """The audience of a pass: the gates of the operator whose origin is ``issuer``."""
    return f"{issuer}/gates"


def sign_pass(issued: Pass, issuer: str, key: Ed25519PrivateKey) -> str:
    """Return the pass as a JWT signed by enrollment's ``key``."""
    at = int(issued.issued_at.timestamp())
    claims: dict[str, Any] = {
        "aud": gates_of(issuer),
        "exp": int(issued.expires_at.timestamp()),
        "iat": at,
        "iss": issuer,
        "jti": issued.pass_id,
        "med": issued.medium,
        "nbf": at,
        "sub": issued.account,
    }
    if issued.template is not None:
        carried = issued.template
        claims |= {
            "eng": carried.engine_id, "img": carried.images, "tpl": base64url(carried.codes),
        }  # fmt: skip
    _Claims.model_validate(claims)
    headers = {"typ": PASS_TYPE, "kid": key_id(key.public_key())}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)


def check_pass(
    token: str,
    keys: Mapping[str, Ed25519PublicKey],
    issuer: str,
    now: datetime,
    valid_for_max: timedelta = VALID_FOR_MAX,
) -> Pass:
    """Verify a pass of the operator ``issuer`` at the time ``now``; raise ``PassRefused``.

    ``keys`` are the keys that may sign passes, by key id: more than one while keys change.
    Whether the pass was revoked is not known here.
    """
    header = _header(token)
    key = keys.get(str(header["kid"]))
    if key is None:
        raise PassForged("This pass was not issued here, or long ago. Ask for a new one.")
    # Times are checked against the caller's clock below, not the process's.
    options: Any = {
        "strict_aud": True, "verify_exp": False, "verify_iat": False, "verify_nbf": False,
    }  # fmt: skip
    try:
        payload = jwt.decode(
            token, key, algorithms=["EdDSA"], audience=gates_of(issuer), issuer=issuer,
            options=options,
        )  # fmt: skip
        claims = _Claims.model_validate(payload)
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as error:
        raise PassForged("This pass belongs to another operator.") from error
    except (jwt.InvalidTokenError, ValidationError) as error:
        raise PassForged("This pass is not genuine. Ask for a new one at the desk.") from error
    _check_times(claims, now, valid_for_max)
    return _pass(claims)


def _header(token: str) -> dict[str, Any]:
    """The header, which is read before the signature and says only which key to take."""
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotAPass("This is not a pass.") from error
    if header.get("typ") != PASS_TYPE or set(header) != _HEADER or header["alg"] != "EdDSA":
        raise NotAPass("This is not a pass.")
    return header


def _check_times(claims: _Claims, now: datetime, valid_for_max: timedelta) -> None:
    at_s, leeway_s = now.timestamp(), CLOCK_LEEWAY.total_seconds()
    if not claims.iat <= claims.nbf < claims.exp:
        raise PassForged("This pass is not genuine: its times contradict each other.")
    if claims.exp - claims.iat > valid_for_max.total_seconds():
        raise PassForged("This pass would be valid for too long. Ask for a new one.")
    if at_s < claims.nbf - leeway_s:
        raise PassNotYetValid("This pass is not valid yet.")
    if at_s >= claims.exp + leeway_s:
        raise PassExpired("This pass has expired. Renew it on your page or at the desk.")


def _pass(claims: _Claims) -> Pass:
    template = None
    if claims.eng is not None and claims.img is not None and claims.tpl is not None:
        try:
            codes = from_base64url(claims.tpl)
        except KeyFileError as error:
            raise PassForged("This pass is not genuine. Ask for a new one at the desk.") from error
        template = CarriedTemplate(claims.eng, claims.img, codes)
    return Pass(
        pass_id=claims.jti,
        account=claims.sub,
        medium=claims.med,
        issued_at=datetime.fromtimestamp(claims.iat, UTC),
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
        template=template,
    )
