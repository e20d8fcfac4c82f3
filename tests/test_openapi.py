"""The OpenAPI document says what the ledger's routes really do, and the page shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from playwright.sync_api import Browser
from pydantic import BaseModel, ValidationError

from bench.loopback import Loopback
from ledger import shapes
from ledger.checkpoints import publish
from ledger.openapi import BLUEPRINTS, UndocumentedRoute, build_document
from ledger.shapes import HealthAnswer, StandingsAnswer, TapsAnswer, TapsRequest
from models.wire.tap import sign_tap
from tests.test_ledger_api import GateClient, gate
from tests.town import Town, make_town

__all__ = ["gate"]  # a fixture of the tests beside these

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def app(gate: GateClient) -> Flask:
    found: Flask = gate.client.application
    return found


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    response = app.test_client().get("/api/v1/openapi.json")
    assert response.status_code == 200
    value: dict[str, Any] = response.get_json()
    return value


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (media type, content) of a request or an answer."""
    for _, _, operation in operations(document):
        yield from operation.get("requestBody", {"content": {}})["content"].items()
        for answer in operation["responses"].values():
            yield from answer["content"].items()


def test_every_route_of_the_interface_is_in_the_document_and_nothing_else(
    app: Flask, document: dict[str, Any]
) -> None:
    served = {
        (rule.endpoint, method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.split(".")[0] in BLUEPRINTS and not rule.endpoint.endswith(".static")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    written = {(operation["operationId"], method) for _, method, operation in operations(document)}
    assert written == served
    assert len(served) >= 9
    assert "/api/v1/taps" in document["paths"]
    assert "/log/tile/{path}" in document["paths"]


def test_a_route_that_nobody_described_makes_the_document_fail(app: Flask) -> None:
    app.add_url_rule("/log/new", "ledger_public.new", lambda: "new")
    with pytest.raises(UndocumentedRoute, match="/log/new"):
        build_document(app)


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    used = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert used <= names
    assert {"Tap", "TapsAnswer", "ProblemShape"} <= names
    assert document["openapi"] == "3.1.0"


def test_every_example_validates_against_its_model(document: dict[str, Any]) -> None:
    checked = 0
    for media_type, content in contents(document):
        reference = content["schema"].get("$ref")
        if reference is None:
            assert "json" not in media_type or media_type == "application/json"
            continue
        model: type[BaseModel] = getattr(shapes, reference.rpartition("/")[2])
        model.model_validate(content["example"], strict=True)
        checked += 1
    assert checked >= 10


def test_a_wrong_example_would_be_noticed() -> None:
    with pytest.raises(ValidationError):
        StandingsAnswer.model_validate({"version": 1, "blocked": [{"account": "x"}]})


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        parameters = operation.get("parameters", [])
        named = {one["name"] for one in parameters if one["in"] == "path"}
        assert named == {part.partition("}")[0] for part in path.split("{")[1:]}


def test_what_is_really_answered_has_the_documented_shape(town: Town, gate: GateClient) -> None:
    account = town.account()
    first = town.gate.tap(account)
    TapsRequest.model_validate({"taps": [first]})
    forked = town.gate.next_tap(account, seq=1)
    answers = gate.taps(first, "nonsense", first, sign_tap(forked, town.gate.key))
    TapsAnswer.model_validate({"answers": answers}, strict=True)
    statuses = [answer["status"] for answer in answers]
    assert statuses == ["accepted", "refused", "replayed", "quarantined"]
    town.rides(5, account)
    StandingsAnswer.model_validate(gate.standings(), strict=True)
    assert gate.standings()["blocked"]
    HealthAnswer.model_validate(gate.client.get("/health/ledger").get_json(), strict=True)


def test_the_gates_routes_ask_for_a_token_and_the_public_ones_do_not(
    town: Town, app: Flask, document: dict[str, Any]
) -> None:
    client = app.test_client()
    publish(town.ledger)
    for path, method, operation in operations(document):
        if operation["security"] == [{"gate": []}]:
            assert client.open(path, method=method).status_code == 401
    for path in ("/log/checkpoint", "/health/ledger", "/api/v1/openapi.json", "/api/v1/docs"):
        assert document["paths"][path]["get"]["security"] == []
        assert client.get(path).status_code == 200


@pytest.fixture
def served(app: Flask) -> Iterator[str]:
    """The application on loopback, under the policy of the real server."""

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        return response

    server = Loopback(app)
    yield server.address
    server.close()


def test_the_page_shows_every_operation_and_sends_one_under_a_strict_policy(
    town: Town, served: str, document: dict[str, Any], browser: Browser
) -> None:
    town.rides(2)
    kept = publish(town.ledger)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served}/api/v1/docs")
    page.get_by_role("status").get_by_text("Facefare ledger, version 1").wait_for()
    assert page.locator("#operations > details").count() == len(list(operations(document)))
    box = page.locator("#operations > details", has_text="/log/checkpoint")
    box.locator("summary").click()
    box.get_by_role("button", name="Send").click()
    box.get_by_text("200 text/plain").wait_for()
    assert f"\n{kept.size}\n" in box.get_by_role("status").inner_text()
    page.close()
    assert complaints == []
