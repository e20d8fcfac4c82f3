"""What gates, a payment processor and logs send to the servers, described for tests in OpenAPI.

The ledger's own document describes its part for readers, and is tested beside these.
"""

from __future__ import annotations

from typing import Any

from models.log.submissions import SIZE_TYPE
from models.wire.gallery import MEDIA_TYPE
from models.wire.gallery_changes import CHANGE_MEDIA_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "detail", "status"],
    "properties": {"title": {"type": "string"}, "detail": {"type": "string", "minLength": 10}},
}
_KEY = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_JWK = {
    "type": "object",
    "required": ["kty", "crv", "x"],
    "properties": {"kty": {"const": "OKP"}, "crv": {"const": "Ed25519"}, "x": _KEY},
}


def _says(*media_types: str, schema: Any = None) -> dict[str, Any]:
    content = {kind: {"schema": schema or {}} for kind in media_types}
    return {"description": "", **({"content": content} if content else {})}


def _problem() -> dict[str, Any]:
    return _says("application/problem+json", schema=_PROBLEM)


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _body(media_type: str, schema: Any) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _query(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind}}


_PROVISION = {
    "post": {
        "requestBody": _body(
            "application/json",
            _object(code={"type": "string", "minLength": 1, "maxLength": 64},
                    public_key=_KEY, box_key=_KEY),
        ),
        "responses": {
            "200": _says("application/json", schema=_object(
                gate={"type": "string"}, station={"type": "string"}, direction={"type": "string"},
                origin={"type": "string"}, log_verifier_key={"type": "string"},
                enrollment_key=_JWK)),
            "400": _problem(),
            "413": _problem(),
        },
    }
}  # fmt: skip
_GALLERY = {
    "get": {
        "security": [{"gate": []}],
        "parameters": [_query("have", "integer"), _query("base", "integer"),
                       _query("wait", "number")],
        "responses": {"200": _says(MEDIA_TYPE, CHANGE_MEDIA_TYPE), "204": _says(),
                      "401": _problem()},
    }
}  # fmt: skip
_KEYS = {
    "get": {"responses": {"200": _says("application/json", schema=_object(
        keys={"type": "array", "items": _JWK}))}}
}  # fmt: skip
_EVENT = {
    "type": "object",
    "required": ["id", "type", "data"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "event"},
        "type": {"enum": ["payment_intent.succeeded", "checkout.session.completed",
                          "charge.dispute.funds_withdrawn", "charge.refunded", "x"]},
        "data": {"type": "object", "required": ["object"],
                 "properties": {"object": {"type": "object"}}},
    },
}  # fmt: skip
_WEBHOOK = {
    "post": {
        "security": [{"processor": []}],
        "requestBody": _body("application/json", _EVENT),
        "responses": {"204": _says(), "400": _says("text/plain"), "413": _says("text/plain"),
                      "503": _says("text/plain")},
    }
}  # fmt: skip


def _document(paths: dict[str, Any]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "machines", "version": "1"}, "paths": paths}


MACHINES = _document({
    "/api/v1/gates/provision": _PROVISION,
    "/api/v1/gallery": _GALLERY,
    "/.well-known/jwks.json": _KEYS,
    "/api/v1/processor/webhook": _WEBHOOK,
})  # fmt: skip

WITNESS = _document({
    "/add-checkpoint": {
        "post": {
            "requestBody": _body("text/plain", {"type": "string"}),
            "responses": {
                **{str(status): _says("text/plain") for status in (200, 400, 403, 404, 422)},
                "409": _says(SIZE_TYPE),
                "413": _says("text/html"),
            },
        }
    },
    "/health": {"get": {"responses": {"200": _says("text/plain")}}},
})  # fmt: skip
