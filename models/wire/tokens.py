"""The token a gate puts on every request: a short JWT bound to that one request.

EdDSA only, ``typ`` fixed, exactly one audience, at most 60 seconds of life, single use,
and bound to method, path and body hash: a token read off the wire buys nothing, and no
other kind of token of this project is accepted in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from models.errors import FacefareError
from models.wire.keys import base64url, key_id

GATE_TOKEN_TYPE = "facefare-gate+jwt"  # noqa: S105 - a media type, not a secret
LIFETIME_S_MAX = 60
CLOCK_SKEW_S_MAX = 30

_CLAIMS = {"iss", "aud", "iat", "exp", "jti", "htm", "htu", "bod"}


class TokenRefused(FacefareError):
    """A request whose token does not allow it."""


class GateUnknown(TokenRefused):
    """The server knows no such gate, or knows it no more: it was revoked.

    The name is the title of the problem that the gate is answered (RFC 9457). It deletes its
    gallery by it, and by nothing else.
    """


class KnownGate(Protocol):
    """A gate by the name that its tokens carry and the key that they verify under."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> Ed25519PublicKey: ...


Known = TypeVar("Known", bound=KnownGate)


@dataclass(frozen=True, slots=True)
class Request:
    """What a token is bound to."""

    method: str
    path: str
    body: bytes

    def body_hash(self) -> str:
        return base64url(hashlib.sha256(self.body).digest())


def issue_gate_token(
    key: Ed25519PrivateKey, gate: str, audience: str, request: Request, now: datetime
) -> str:
    """Return a token for this one ``request`` of ``gate`` to ``audience``."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": gate,
        "aud": audience,
        "iat": issued_at,
        "exp": issued_at + LIFETIME_S_MAX,
        "jti": uuid4().hex,
        "htm": request.method,
        "htu": request.path,
        "bod": request.body_hash(),
    }
    headers = {"typ": GATE_TOKEN_TYPE, "kid": key_id(key.public_key())}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)


def check_gate_token(
    token: str,
    find_gate: Callable[[str], Known | None],
    audience: str,
    request: Request,
    now: datetime,
    use_once: Callable[[str, int], bool],
) -> Known:
    """Return the gate that may make this ``request``.

    ``find_gate(kid)`` answers the registered gate with this key; ``use_once(jti, exp)`` is
    False for an id seen before. Raises ``TokenRefused`` with the reason in a sentence, and
    ``GateUnknown`` for a key that is no gate's.
    """
    gate, claims = _verified_claims(token, find_gate, audience)
    if set(claims) != _CLAIMS or claims["iss"] != gate.name:
        raise TokenRefused("the gate token's claims are not those of a gate token")
    _check_times(claims, now)
    bound = (claims["htm"], claims["htu"], claims["bod"])
    if bound != (request.method, request.path, request.body_hash()):
        raise TokenRefused("the gate token was made for another request")
    if not isinstance(claims["jti"], str) or not use_once(claims["jti"], claims["exp"]):
        raise TokenRefused("the gate token was used before; make a new one for each request")
    return gate


def _verified_claims(
    token: str, find_gate: Callable[[str], Known | None], audience: str
) -> tuple[Known, dict[str, Any]]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenRefused("the request carries no readable gate token") from error
    if header.get("typ") != GATE_TOKEN_TYPE:
        raise TokenRefused(f"a gate token is needed here, not {header.get('typ')!r}")
    gate = find_gate(str(header.get("kid")))
    if gate is None:
        raise GateUnknown(
            "this gate's key is not registered or was revoked; provision the gate again"
        )
    # Times are checked against the caller's clock in _check_times, not the process's.
    options: Any = {
        "require": sorted(_CLAIMS),
        "strict_aud": True,
        "verify_exp": False,
        "verify_iat": False,
    }
    try:
        claims = jwt.decode(
            token, gate.key, algorithms=["EdDSA"], audience=audience, options=options
        )
    except jwt.InvalidTokenError as error:
        raise TokenRefused(f"the gate token does not verify: {error}") from error
    return gate, claims


def _check_times(claims: dict[str, Any], now: datetime) -> None:
    issued_at, expires = claims["iat"], claims["exp"]
    if type(issued_at) is not int or type(expires) is not int:
        raise TokenRefused("the gate token's times are not whole seconds")
    if not 0 < expires - issued_at <= LIFETIME_S_MAX:
        raise TokenRefused(f"a gate token may live at most {LIFETIME_S_MAX} seconds")
    age_s = now.timestamp() - issued_at
    if age_s < -CLOCK_SKEW_S_MAX:
        raise TokenRefused(
            f"the gate token is from the future: the gate's clock is {-age_s:.0f} s ahead"
        )
    if now.timestamp() > expires + CLOCK_SKEW_S_MAX:
        raise TokenRefused(
            f"the gate token has expired: made {age_s:.0f} s ago; check the gate's clock"
        )
