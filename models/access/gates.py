"""The gate register: a one-time code makes a gate's own public key known.

The private key is made on the gate and never leaves it. A revoked gate keeps its name and
its key here, so that taps it signed before can still be verified.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from sqlalchemy import Engine, Row, bindparam, delete
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.sqlite import insert
from sqlmodel import Session, col, select

from models.database import reading, writing
from models.errors import FacefareError
from models.tables.access import Gate, UsedToken
from models.together import Together
from models.wire.keys import key_id
from models.wire.tap import SHORT_NAME

CODE_LIFETIME = timedelta(hours=24)
USED_AT_ONCE = 64
_KEPT_S = 3600  # a clock that is set back by less than this lets no request in twice

# Made once: every request of a gate runs them, and making them costs more than running them.
_gates = Gate.__table__  # type: ignore[attr-defined]
_used = UsedToken.__table__  # type: ignore[attr-defined]
_BY_KEY = select_columns(_gates).where(_gates.c.key_id == bindparam("kid"))
_BY_NAME = select_columns(_gates).where(_gates.c.name == bindparam("name"))
_USE = insert(_used).on_conflict_do_nothing().returning(_used.c.jti)
_FORGET = delete(_used).where(_used.c.expires < bindparam("before"))


class GateRegisterError(FacefareError):
    """A gate cannot be added, provisioned or found."""


@dataclass(frozen=True, slots=True)
class RegisteredGate:
    """A provisioned gate as the rest of the program sees it."""

    name: str
    station: str
    direction: str
    key: Ed25519PublicKey
    box_key: X25519PublicKey
    revoked: bool


def add_gate(engine: Engine, name: str, station: str, direction: str, now: datetime) -> str:
    """Register a gate by name and return its one-time provisioning code.

    For a gate that was never provisioned, a second call replaces the first code.

    Raises ``GateRegisterError`` for a name that is taken or cannot travel in a tap.
    """
    for label, value in (("gate", name), ("station", station)):
        if not SHORT_NAME.fullmatch(value):
            raise GateRegisterError(
                f"{value!r} cannot be the name of a {label}; use up to 63 of a-z, 0-9, dot, "
                "dash and underscore"
            )
    code = secrets.token_hex(8)
    with writing(engine) as session:
        gate = session.get(Gate, name) or Gate(name=name, created_at=now, station="", direction="")
        if gate.provisioned_at is not None or gate.revoked_at is not None:
            raise GateRegisterError(f"a gate named {name} exists already; choose another name")
        gate.station, gate.direction = station, direction
        gate.code_hash, gate.code_expires_at = _hash(code), now + CODE_LIFETIME
        session.add(gate)
    return code


def provision_gate(
    engine: Engine, code: str, key: bytes, box_key: bytes, now: datetime
) -> RegisteredGate:
    """Spend ``code`` and keep the gate's two public keys (raw, 32 bytes each).

    The same code with the same keys is answered again: the first answer may have been lost.

    Raises ``GateRegisterError`` for an unknown, spent or expired code and for unusable keys.
    """
    try:
        signing = Ed25519PublicKey.from_public_bytes(key)
        X25519PublicKey.from_public_bytes(box_key)
    except ValueError as error:
        raise GateRegisterError("the gate's public keys are not 32-byte keys") from error
    wanted = _hash(code)
    with writing(engine) as session:
        for gate in session.exec(select(Gate).where(col(Gate.code_hash).is_not(None))):
            if not compare_digest(gate.code_hash or "", wanted):
                continue
            if gate.code_expires_at is None or now > gate.code_expires_at:
                break
            if gate.provisioned_at is not None:
                if (gate.public_key, gate.box_key, gate.revoked_at) != (key, box_key, None):
                    break
                return _registered(gate)
            _refuse_known_key(session, signing)
            gate.key_id = key_id(signing)
            gate.public_key, gate.box_key = key, box_key
            gate.provisioned_at = now
            session.add(gate)
            return _registered(gate)
    raise GateRegisterError(
        "the provisioning code is unknown, spent or expired; make a new one with "
        "'facefare gates add'"
    )


def _refuse_known_key(session: Session, key: Ed25519PublicKey) -> None:
    if session.exec(select(Gate).where(Gate.key_id == key_id(key))).first() is not None:
        raise GateRegisterError("this key belongs to another gate already; make a new one")


def find_gate(session: Session, name: str) -> RegisteredGate | None:
    """The provisioned gate called ``name``, revoked or not."""
    gate = session.execute(_BY_NAME, {"name": name}).first()
    return _registered(gate) if gate is not None and gate.public_key else None


def list_gates(engine: Engine) -> list[Gate]:
    """All gates in the register by name."""
    with reading(engine) as session:
        return list(session.exec(select(Gate).order_by(Gate.name)))


def revoke_gate(engine: Engine, name: str, now: datetime) -> None:
    """Stop trusting requests of the gate from now on."""
    with writing(engine) as session:
        gate = session.get(Gate, name)
        if gate is None:
            raise GateRegisterError(f"there is no gate named {name}")
        gate.revoked_at = now
        session.add(gate)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class GateRegister:
    """The register as the servers use it: key lookup and single use of request ids."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = _utc_now) -> None:
        self._engine = engine
        self._use = Together(self._use_all, USED_AT_ONCE)
        self._forgotten = 0
        self.clock = clock

    def gate_by_key(self, kid: str) -> RegisteredGate | None:
        """The gate whose key has this id, unless it was revoked."""
        with self._engine.connect() as connection:  # a session would cost more than the query
            gate = connection.execute(_BY_KEY, {"kid": kid}).first()
        return None if gate is None or gate.revoked_at is not None else _registered(gate)

    def gate(self, name: str) -> RegisteredGate | None:
        """The provisioned gate called ``name``, revoked or not."""
        with reading(self._engine) as session:
            return find_gate(session, name)

    def use_once(self, jti: str, expires: int) -> bool:
        """Record a request id; False when it was recorded before.

        The record is in the database, so a replay is refused after a restart too. Requests
        that come at once are recorded at once. Ids whose tokens have long expired are
        dropped on the way, once a minute.
        """
        return self._use((jti, expires))

    def _use_all(self, tokens: Sequence[tuple[str, int]]) -> list[bool]:
        with writing(self._engine) as session:
            fresh = [
                session.execute(_USE, {"jti": jti, "expires": expires}).first() is not None
                for jti, expires in tokens
            ]
            if (before := min(expires for _, expires in tokens) - _KEPT_S) > self._forgotten + 60:
                session.execute(_FORGET, {"before": before})
                self._forgotten = before
        return fresh


def _registered(gate: Gate | Row[Any]) -> RegisteredGate:
    if gate.public_key is None or gate.box_key is None:
        raise GateRegisterError(f"the gate {gate.name} is not provisioned yet")
    return RegisteredGate(
        name=gate.name,
        station=gate.station,
        direction=gate.direction,
        key=Ed25519PublicKey.from_public_bytes(gate.public_key),
        box_key=X25519PublicKey.from_public_bytes(gate.box_key),
        revoked=gate.revoked_at is not None,
    )


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
