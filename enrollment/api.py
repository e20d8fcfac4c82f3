"""What gates ask of enrollment: to be provisioned, and their gallery.

    POST /api/v1/gates/provision   {"code", "public_key", "box_key"}: keys raw, base64url
                                   -> {"gate", "station", "direction", "origin",
                                       "log_verifier_key", "enrollment_key": JWK}
    GET  /api/v1/gallery?have=17&base=12&wait=20
                                   gate token for the audience "enrollment"
                                   -> 200 sealed gallery, or its change since version 12, which
                                      lies on the gate's disk, or 204 where 17 is current.
                                   With ``wait`` the answer may take so many seconds: it comes
                                   when there is a newer version. ``Retry-After`` on a 204 says
                                   that too many wait already.
    GET  /.well-known/jwks.json    the keys that sign galleries and passes

A refusal is raised; the composition root answers it as a problem (RFC 9457).
"""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from jwt.utils import base64url_decode
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.wrappers import Response

from enrollment.gallery_feed import Memory, gallery_for, wait_for_change
from enrollment.pass_keys import trusted_keys
from enrollment.store import Enrollment
from models.access.gates import GateRegister, GateRegisterError, RegisteredGate, provision_gate
from models.access.web import authenticate_gate
from models.database import reading
from models.wire.gallery import MEDIA_TYPE
from models.wire.gallery_changes import CHANGE_MEDIA_TYPE, is_change
from models.wire.keys import public_jwk, raw_public
from models.wire.tokens import GateUnknown

AUDIENCE = "enrollment"

RawKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class ProvisionRequest(BaseModel):
    """What a new gate sends: its one-time code and its two public keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(min_length=1, max_length=64)
    public_key: RawKey
    box_key: RawKey


def api_blueprint(enrollment: Enrollment, register: GateRegister) -> Blueprint:
    """The gate interface; it knows no cookies and needs no CSRF protection."""
    blueprint = Blueprint("enrollment_api", __name__)
    memory = Memory()

    @blueprint.post("/api/v1/gates/provision")
    def provision() -> ResponseReturnValue:
        wanted = _provision_request()
        gate = provision_gate(
            enrollment.access,
            wanted.code,
            base64url_decode(wanted.public_key),
            base64url_decode(wanted.box_key),
            enrollment.clock(),
        )
        return {
            "gate": gate.name,
            "station": gate.station,
            "direction": gate.direction,
            "origin": enrollment.settings.origin,
            "log_verifier_key": enrollment.log_verifier_key,
            "enrollment_key": public_jwk(enrollment.signing_key.public_key()),
        }

    @blueprint.get("/api/v1/gallery")
    def gallery() -> ResponseReturnValue:
        gate = authenticate_gate(register, AUDIENCE)
        have, base = request.args.get("have", type=int), request.args.get("base", type=int)
        wait_s = request.args.get("wait", 0.0, type=float)
        waited = True
        if wait_s > 0:
            waited = wait_for_change(enrollment, memory, gate.station, have, wait_s)
            _refuse_revoked(register, gate)
        sealed = gallery_for(enrollment, memory, gate, have, base, enrollment.clock())
        if sealed is None:
            return Response(status=204, headers={} if waited else {"Retry-After": "15"})
        kind = CHANGE_MEDIA_TYPE if is_change(sealed) else MEDIA_TYPE
        return Response(sealed, mimetype=kind, headers={"Cache-Control": "no-store"})

    @blueprint.get("/.well-known/jwks.json")
    def keys() -> ResponseReturnValue:
        with reading(enrollment.riders) as session:
            passes = trusted_keys(session, enrollment.clock())
        raw = [raw_public(enrollment.signing_key.public_key()), *(k.public_key for k in passes)]
        jwks = [public_jwk(Ed25519PublicKey.from_public_bytes(key)) for key in raw]
        return {"keys": [{**jwk, "alg": "EdDSA", "use": "sig"} for jwk in jwks]}

    return blueprint


def _refuse_revoked(register: GateRegister, gate: RegisteredGate) -> None:
    """A gate may be revoked while its question waits."""
    now = register.gate(gate.name)
    if now is None or now.revoked:
        raise GateUnknown(f"the gate {gate.name} was revoked; provision it again")


def _provision_request() -> ProvisionRequest:
    try:
        return ProvisionRequest.model_validate_json(request.get_data())
    except ValidationError as error:
        raise GateRegisterError(
            "provisioning needs JSON with code, public_key and box_key, the keys as 43 "
            "characters of base64url"
        ) from error
