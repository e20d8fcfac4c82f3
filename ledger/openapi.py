"""The OpenAPI 3.1 document of the ledger's gate-facing and public interface, and its page.

    GET /api/v1/openapi.json    the document
    GET /api/v1/docs            a page to read it and to try it; no script from elsewhere

Paths and methods come from the application's own routes, summaries from the handlers'
docstrings, bodies from the models the handlers answer with (``ledger.shapes``). Only what
cannot be read off a handler stands here: kinds of answer, who may ask, examples. A route
without such a line makes the document fail, and with it a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ledger.shapes import (
    EntryShape,
    HealthAnswer,
    ProblemShape,
    StandingsAnswer,
    TapsAnswer,
    TapsRequest,
)
from models.errors import FacefareError
from models.wire.tap import Tap

BLUEPRINTS = ("ledger_api", "ledger_public", "ledger_docs")
PROBLEM = "application/problem+json"

_JSON, _TEXT, _BYTES, _HTML = (
    "application/json", "text/plain", "application/octet-stream", "text/html",
)  # fmt: skip
_PARAMETER = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")

_NUMBER = r"(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?"
_UUID = "019aae4c-5b1e-7c3a-8f21-6a0d3b9e4f10"
_NOTE = (
    "fares.example/city\n3\nm9xq0P2hRmQ0vTzGQ7m0l6y3yqf8o3b0n1c0mJv1s2w=\n\n"
    "— fares.example/city AbCdEfGh…\n"
)


class UndocumentedRoute(FacefareError):
    """A route of the interface that has no line here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer: what it means, its media type, its model or None, an example."""

    means: str
    media_type: str
    model: type[BaseModel] | None = None
    example: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What cannot be read off a handler."""

    answers: Mapping[int, Answer]
    who: str = ""  # a name of _SECURITY; empty: everyone
    body: type[BaseModel] | None = None
    body_example: Any = None
    parameters: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)  # …, pattern
    queries: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # whole numbers


def _problem(means: str, status: int, title: str) -> Answer:
    example = {"type": "about:blank", "title": title, "detail": means, "status": status}
    return Answer(means, PROBLEM, ProblemShape, example)


_NOT_A_GATE = _problem("the request carries no gate token", 401, "TokenRefused")
_NOT_THERE = _problem("There is nothing at this address.", 404, "Not Found")

_OPERATIONS = {
    "ledger_api.taps": Operation(
        who="gate",
        body=TapsRequest,
        body_example={"taps": ["eyJhbGciOiJFZERTQSJ9.eyJhY2NvdW50Ijoi.c2lnbmF0dXJl"]},
        answers={
            200: Answer("One answer per tap, in order", _JSON, TapsAnswer, {
                "answers": [
                    {"status": "accepted", "tap_id": _UUID, "entry": 5, "chain": "ok",
                     "charge": {"amount": {"currency": "CNY", "minor": 200}, "rule": "leg_from",
                                "words": "Flat fare, from South Gate: CN¥2.00."}},
                    {"status": "refused", "tap_id": _UUID, "problem": {
                        "type": "urn:facefare:tap-conflict", "status": 409,
                        "title": "This tap id was used before",
                        "detail": "the id belongs to something else that is recorded"}},
                ]}),
            400: _problem("send 1 to 512 taps at a time, not 0", 400, "BatchRefused"),
            401: _NOT_A_GATE,
            413: _problem("What you sent is too large.", 413, "Request Entity Too Large"),
            503: _problem(
                "more taps are being charged than this server can; nothing of this request was "
                "recorded; send it again", 503, "Try again later",
            ),
        },
    ),
    "ledger_api.blocked": Operation(
        who="gate",
        answers={
            200: Answer("The deny list", _JSON, StandingsAnswer, {
                "version": 17,
                "blocked": [{"account": "5f0c7a1e92d34b66a1c2e8d9f0b3a475", "reason": "overdraft",
                             "words": "The balance is too low to ride.",
                             "since": "2026-11-22T18:49:07.250Z", "lifted_by": ["rider"]}]}),
            401: _NOT_A_GATE,
        },
        queries={
            "have": ("The version the gate has; wait for another one", 17),
            "wait": ("Seconds to wait for it at most, up to 25", 20),
        },
    ),
    "ledger_public.checkpoint": Operation(
        answers={200: Answer("A C2SP signed note", _TEXT, None, _NOTE)},
    ),
    "ledger_public.witnessed": Operation(
        answers={200: Answer("A C2SP signed note", _TEXT, None, _NOTE), 404: _NOT_THERE},
    ),
    "ledger_public.entries": Operation(
        who="auditor",
        parameters={
            "number": ("The bundle, as C2SP tlog-tiles writes it", "000.p/3", f"^{_NUMBER}$"),
        },
        answers={
            200: Answer("Entries (EntryShape), each after its length in two bytes", _BYTES),
            302: Answer("Sign in first", _HTML),
            403: _problem("Your role does not allow this.", 403, "Forbidden"),
            404: _NOT_THERE,
        },
    ),
    "ledger_public.tile": Operation(
        parameters={
            "path": ("The tile, as C2SP tlog-tiles writes it", "0/000.p/3",
                     f"^[0-9]{{1,2}}/{_NUMBER}$"),
        },
        answers={200: Answer("Hashes of 32 bytes", _BYTES), 404: _NOT_THERE},
    ),
    "ledger_public.ledger_health": Operation(
        answers={
            status: Answer(means, _JSON, HealthAnswer, {
                "status": word, "problem": "", "entries": 17, "checkpoint_size": size,
                "unsigned_for_s": late_s,
                "signer": "ledger-host:4711",
                "witnesses": [{"name": "witness.example/w1", "size": 12,
                               "at": "2026-11-22T18:49:07.250Z", "trouble": ""}]})
            for status, means, word, size, late_s in (
                (200, "Everything is signed for in time", "ok", 17, 0.0),
                (503, "Entries wait too long for their signature, nobody signs any more, or a "
                 "witness contradicts the log", "late", 12, 31.5),
            )
        },
    ),
    "ledger_docs.document": Operation(answers={200: Answer("This document", _JSON)}),
    "ledger_docs.page": Operation(answers={200: Answer("A page to read and try it", _HTML)}),
}  # fmt: skip

_SECURITY = {
    "gate": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "EdDSA, type facefare-gate+jwt, made by the gate for this one request: "
        "bound to method, path and body hash, at most 60 seconds, used once.",
    },
    "auditor": {"type": "apiKey", "in": "cookie", "name": "session",
                "description": "Staff signed in with the role auditor or admin."},
}  # fmt: skip


def build_document(app: Flask) -> dict[str, Any]:
    """The document of the interface as ``app`` serves it; raise ``UndocumentedRoute``."""
    models = {answer.model for operation in _OPERATIONS.values()
              for answer in operation.answers.values() if answer.model}  # fmt: skip
    models |= {operation.body for operation in _OPERATIONS.values() if operation.body} | {
        Tap,
        EntryShape,
    }
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Facefare ledger",
            "version": "1",
            "description": "Taps in; standings, checkpoints and tiles out. "
            "The formats are described in docs/ledger-format.md.",
        },
        "paths": _paths(app),
        "components": {"schemas": schemas["$defs"], "securitySchemes": _SECURITY},
    }


def _paths(app: Flask) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        blueprint, _, name = rule.endpoint.partition(".")
        if blueprint not in BLUEPRINTS or name == "static":
            continue
        operation = _OPERATIONS.get(rule.endpoint)
        summary = (app.view_functions[rule.endpoint].__doc__ or "").strip()
        if operation is None or not summary:
            raise UndocumentedRoute(f"{rule.rule} ({rule.endpoint}) is not described for OpenAPI")
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        paths[_PARAMETER.sub(r"{\1}", rule.rule)] = {
            method.lower(): _operation(rule.endpoint, summary, operation) for method in methods
        }
    return paths


def _operation(endpoint: str, summary: str, operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint,
        "summary": summary.partition("\n")[0],
        "security": [{operation.who: []}] if operation.who else [],
        "responses": {
            str(status): {"description": answer.means, "content": _content(answer)}
            for status, answer in operation.answers.items()
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "description": words,
         "schema": {"type": "string", "pattern": pattern}, "example": example}
        for name, (words, example, pattern) in operation.parameters.items()
    ] + [
        {"name": name, "in": "query", "description": words,
         "schema": {"type": "integer"}, "example": number}
        for name, (words, number) in operation.queries.items()
    ]  # fmt: skip
    if parameters:
        made["parameters"] = parameters
    if operation.body is not None:
        answer = Answer("", _JSON, operation.body, operation.body_example)
        made["requestBody"] = {"required": True, "content": _content(answer)}
    return made


def _content(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _schema(answer)}
    if answer.example is not None:
        content["example"] = answer.example
    return {answer.media_type: content}


def _schema(answer: Answer) -> dict[str, Any]:
    if answer.model is not None:
        return {"$ref": f"#/components/schemas/{answer.model.__name__}"}
    return {} if answer.media_type == _BYTES else {
        "type": "object" if answer.media_type == _JSON else "string"
    }  # fmt: skip


def documentation() -> Blueprint:
    """The document and the page."""
    blueprint = Blueprint(
        "ledger_docs",
        __name__,
        url_prefix="/api/v1",
        static_folder="static",
        static_url_path="/docs/static",
        template_folder="templates",
    )

    @blueprint.get("/openapi.json")
    def document() -> Response:
        """This document."""
        return jsonify(build_document(current_app))

    @blueprint.get("/docs")
    def page() -> str:
        """A page to read this document and to try it."""
        return render_template("ledger/api.html")

    return blueprint
