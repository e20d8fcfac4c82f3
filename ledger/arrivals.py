"""Read what a gate sent: a tap that this gate may send, or the reason why it is none.

No database here; signatures are checked before anyone waits for a lock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from ledger.answers import Refused, problem
from ledger.chains import Link
from models.access.gates import RegisteredGate
from models.wire.tap import Tap, TapRefused, check_tap, tap_hash

SIGNED_TAP_CHARS_MAX = 4096
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""What a clock that lost the time shows; calendars are not asked about anything before."""
AHEAD_MAX = timedelta(days=1)
"""A tap from further ahead would keep new fares out until then, and could not be undone."""

_UNVERIFIED: Any = {"verify_signature": False}


@dataclass(frozen=True, slots=True)
class ReadTap:
    """A tap whose signature and form are good, and that its gate may send."""

    tap: Tap
    signed: str
    hash: str

    @property
    def link(self) -> Link:
        """The tap's place in its gate's chain."""
        return Link(self.hash, self.tap.prev)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was sent as a tap and is none; ``hash`` names it when it is sent again."""

    hash: str
    answer: Refused


def read_tap(
    signed: str, gate: str, registered: RegisteredGate | None, received_at: datetime
) -> ReadTap | Unreadable:
    """Check one signed tap against the key and the place of the ``gate`` that sent it."""
    if len(signed) > SIGNED_TAP_CHARS_MAX or not signed.isascii():
        return _unreadable(
            signed, f"it is not a signed tap of at most {SIGNED_TAP_CHARS_MAX} ASCII characters"
        )
    if registered is None or registered.revoked:
        return _unreadable(signed, f"the gate {gate} is not registered or was revoked")
    try:
        tap = check_tap(signed, registered.key)
    except TapRefused as error:
        return _unreadable(signed, str(error))
    if tap.gate != gate or registered.name != gate:
        return _unreadable(signed, f"the gate {gate} sent a tap of the gate {tap.gate}")
    if (tap.station, tap.direction) != (registered.station, registered.direction):
        return _unreadable(
            signed,
            f"the tap says {tap.station}/{tap.direction}, but the gate {gate} is registered at "
            f"{registered.station}/{registered.direction}",
        )
    if not EARLIEST <= tap.moment <= received_at + AHEAD_MAX:
        return _unreadable(
            signed,
            f"the tap says it was made at {tap.at}, more than a day ahead of this server or before "
            "1970; set the gate's clock",
        )
    return ReadTap(tap, signed, tap_hash(signed))


def read_kept(signed: str) -> ReadTap:
    """A tap that was checked when it came, and kept."""
    payload = jwt.PyJWS().decode_complete(signed, options=_UNVERIFIED)["payload"]
    return ReadTap(Tap.model_validate_json(payload), signed, tap_hash(signed))


def _unreadable(signed: str, detail: str) -> Unreadable:
    digest = hashlib.sha256(signed.encode("utf-8", "surrogatepass")).hexdigest()
    told = problem("tap-refused", "This tap cannot be charged", detail)
    return Unreadable(digest, Refused(_claimed_id(signed), told))


def _claimed_id(signed: str) -> str | None:
    """The id a refused tap claims, so that its gate knows which one is meant; not trusted."""
    try:
        claimed = json.loads(jwt.PyJWS().decode_complete(signed, options=_UNVERIFIED)["payload"])
        return str(UUID(claimed["tap_id"]))
    except (jwt.InvalidTokenError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
