"""What gates ask of enrollment: to be provisioned, and their gallery.

    POST /api/v1/gates/provision   {"code", "public_key", "box_key"}: keys raw, base64url
                                   -> {"gate", "station", "direction", "origin",
                                       "log_verifier_key", "enrollment_key": JWK}
    GET  /api/v1/gallery?have=17   gate token for the audience "enrollment"
                                   -> 200 sealed gallery, or 204 where 17 is current
    GET  /.well-known/jwks.json    the key that signs galleries

A refusal is raised; the composition root answers it as a problem (RFC 9457).
"""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from jwt.utils import base64url_decode
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.wrappers import Response

from enrollment.gallery import gallery_for
from enrollment.store import Enrollment
from models.access.gates import GateRegister, GateRegisterError, provision_gate
from models.access.web import authenticate_gate
from models.wire.gallery import MEDIA_TYPE
from models.wire.keys import public_jwk

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
        have = request.args.get("have", type=int)
        sealed = gallery_for(enrollment, gate, have, enrollment.clock())
        if sealed is None:
            return Response(status=204)
        return Response(sealed, mimetype=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @blueprint.get("/.well-known/jwks.json")
    def keys() -> ResponseReturnValue:
        jwk = public_jwk(enrollment.signing_key.public_key())
        return {"keys": [{**jwk, "alg": "EdDSA", "use": "sig"}]}

    return blueprint


def _provision_request() -> ProvisionRequest:
    try:
        return ProvisionRequest.model_validate_json(request.get_data())
    except ValidationError as error:
        raise GateRegisterError(
            "provisioning needs JSON with code, public_key and box_key, the keys as 43 "
            "characters of base64url"
        ) from error
