"""Requests made from the OpenAPI document, good ones and odd ones: every answer fits it.

Each request of a gate gets a real token just before it is answered, as the gate would make it.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ledger.checkpoints import publish
from tests.attack_site import Site, make_site
from tests.looking import RIDERS

EXAMPLES = 2_000 if os.environ.get("FACEFARE_TEST_ALL") else 60
SECONDS_MAX = 1.0
PLACEHOLDER = "Bearer a-gate"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class AsAGate:
    """The application behind a gate that signs whatever goes to it, and a clock on each answer."""

    def __init__(self, site: Site) -> None:
        self.site, self.slowest = site, 0.0

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        environ["HTTP_HOST"] = "localhost"
        if environ.get("HTTP_AUTHORIZATION") == PLACEHOLDER:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self._token(environ)}"
        started = time.thread_time()
        answer = self.site.app.wsgi_app(environ, start)
        self.slowest = max(self.slowest, time.thread_time() - started)
        return answer

    def _token(self, environ: dict[str, Any]) -> str:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with self.site.app.request_context(environ) as context:
            path = context.request.full_path.rstrip("?")
        environ["wsgi.input"] = io.BytesIO(body)
        gate = self.site.gates[0]
        return self.site.bearer(gate, environ["REQUEST_METHOD"], path, body, "ledger")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> AsAGate:
    site = make_site(tmp_path_factory.mktemp("schemathesis"))
    gate = site.gates[0]
    assert site.deliver(gate, gate.tap(RIDERS[0][0] * 32)).status_code == 200
    publish(site.ledger)
    return AsAGate(site)


@pytest.fixture(scope="module")
def described(served: AsAGate) -> Any:
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", served)

    @schema.hook
    def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
        if query and "wait" in query:
            query["wait"] = 0  # a question that waits for news is answered late on purpose
        return query

    return schema


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_of_those_described(
    described: Any, served: AsAGate, mode: GenerationMode
) -> None:
    """``positive`` requests are as the document wants them, ``negative`` ones are not."""
    asked = 0
    for result in described.get_all_operations():
        operation = result.ok()
        if mode.is_negative and not (operation.body or operation.query):
            continue  # there is nothing that could be asked wrongly
        asked += 1
        _ask(operation, operation.as_strategy(generation_mode=mode))
        assert served.slowest < SECONDS_MAX, operation.label
    assert asked >= (2 if mode.is_negative else 8)


def _ask(operation: Any, requests: Any) -> None:
    by_a_gate = {"gate": []} in operation.definition.raw.get("security", [])
    headers = {"Authorization": PLACEHOLDER} if by_a_gate else {}

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(requests)
    def asks(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    asks()


def test_an_answer_that_is_not_described_is_found(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    def teapot() -> tuple[dict[str, str], int]:
        """Not what the document says."""
        return {"not": "a note"}, 418

    site.app.view_functions["ledger_public.checkpoint"] = teapot
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", AsAGate(site))
    case = schema["/log/checkpoint"]["GET"].Case()
    with pytest.raises(FailureGroup) as caught:
        case.call_and_validate(checks=CHECKS)
    assert [type(failure) for failure in caught.value.exceptions] == [UndefinedStatusCode]
