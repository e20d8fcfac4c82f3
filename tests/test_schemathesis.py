"""Requests made from OpenAPI documents, good ones and odd ones: every answer fits them.

The ledger has a document; what else machines send is described in ``tests.machine_interface``.
Each request of a gate gets a real token just before it is answered, as the gate would make it; an
auditor is signed in, and what a payment processor sends is signed.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
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

from ledger.checkpoints import Publisher, kept_checkpoint, publish
from ledger.witness import create_witness, open_witness
from ledger.witness_cli import create_app as witness_app
from models.access.gates import add_gate
from models.log.submissions import Submission
from models.wire.keys import base64url, raw_public
from tests.attack_site import Site, make_site
from tests.looking import RIDERS
from tests.machine_interface import MACHINES, WITNESS

EXAMPLES = 2_000 if os.environ.get("FACEFARE_TEST_ALL") else 24
SECONDS_MAX = 1.0
"""Of work; one that waits shows on the clock of the wall, beside which others may run."""
SECONDS_BLOCKED_MAX = 10.0
SIGNS = "X-Test-Signs"
SECRET = "whsec_of_this_test"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Environ = dict[str, Any]


class Watched:
    """An application behind whoever signs requests to it, a document, and a clock on answers.

    A request that names in ``SIGNS`` who sends it is signed by them as it goes in.
    """

    def __init__(self, app: Wsgi, document: dict[str, Any], signers: Signers) -> None:
        self._app, self._document, self._signers = app, json.dumps(document).encode(), signers
        self.worked_s = self.took_s = 0.0

    def __call__(self, environ: Environ, start: Any) -> Iterable[bytes]:
        environ["HTTP_HOST"] = "localhost"
        if environ["PATH_INFO"] == "/described.json":
            start("200 OK", [("Content-Type", "application/json")])
            return [self._document]
        signer = environ.pop("HTTP_" + SIGNS.upper().replace("-", "_"), None)
        if signer is not None:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            self._signers[signer](environ, body)
            environ["wsgi.input"] = io.BytesIO(body)
        worked, began = time.thread_time(), time.perf_counter()
        answer = self._app(environ, start)
        self.worked_s = max(self.worked_s, time.thread_time() - worked)
        self.took_s = max(self.took_s, time.perf_counter() - began)
        return answer


Signers = dict[str, Callable[[Environ, bytes], None]]


def signers_of(site: Site) -> Signers:
    """Who sends something to the server, and how each shows it."""

    def gate(environ: Environ, body: bytes) -> None:
        with site.app.request_context(environ) as context:
            path = context.request.full_path.rstrip("?")
        audience = "enrollment" if "/gallery" in path else "ledger"
        token = site.bearer(site.gates[0], environ["REQUEST_METHOD"], path, body, audience)
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def auditor(environ: Environ, body: bytes) -> None:
        environ["HTTP_COOKIE"] = f"session={cookie.value}"

    def processor(environ: Environ, body: bytes) -> None:
        now = int(time.time())
        code = hmac.new(SECRET.encode(), f"{now}.".encode() + body, "sha256").hexdigest()
        environ["HTTP_STRIPE_SIGNATURE"] = f"t={now},v1={code}"

    cookie = site.browser().get_cookie("session")
    assert cookie is not None
    return {"gate": gate, "auditor": auditor, "processor": processor}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    keys = f'secret_key = "sk_test"\nwebhook_secret = "{SECRET}"\naddress = "http://127.0.0.1:9"\n'
    made = make_site(tmp_path_factory.mktemp("schemathesis"), stripe_keys=keys)
    gate = made.gates[0]
    assert made.deliver(gate, gate.tap(RIDERS[0][0] * 32)).status_code == 200
    publisher = Publisher(made.ledger)
    publisher.start()
    publish(made.ledger)
    yield made
    publisher.stop()


@pytest.fixture(scope="module")
def served(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watched]:
    """What is tested, by where its document lies."""
    folder, log = tmp_path_factory.mktemp("witness"), site.ledger
    create_witness(folder, "witness.example/w1")
    with (folder / "witness.toml").open("a", encoding="utf-8") as file:
        file.write(f'[[logs]]\nkey = "{log.verifier_key}"\n')
    witness = witness_app(open_witness(folder, time.time))
    signers, own = signers_of(site), site.app.test_client().get("/api/v1/openapi.json")
    return {
        "ledger": Watched(site.app.wsgi_app, own.get_json(), signers),
        "machines": Watched(site.app.wsgi_app, MACHINES, signers),
        "witness": Watched(witness.wsgi_app, WITNESS, {}),
    }


def described(name: str, served: dict[str, Watched]) -> Any:
    schema = schemathesis.openapi.from_wsgi("/described.json", served[name])

    @schema.hook
    def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
        if query and "wait" in query:
            query["wait"] = 0  # a question that waits for news is answered late on purpose
        return query

    return schema


OPERATIONS = {"ledger": (9, 4), "machines": (4, 3), "witness": (2, 1)}
"""How many there are, and how many of them can be asked wrongly: by body, question or path."""


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_of_those_described(
    served: dict[str, Watched], mode: GenerationMode, name: str
) -> None:
    """``positive`` requests are as the document wants them, ``negative`` ones are not."""
    asked = 0
    for result in described(name, served).get_all_operations():
        operation = result.ok()
        given_anything = operation.body or operation.query or operation.path_parameters
        if mode.is_negative and not given_anything:
            continue  # there is nothing that could be asked wrongly
        asked += 1
        _ask(operation, operation.as_strategy(generation_mode=mode))
        assert served[name].worked_s < SECONDS_MAX, operation.label
        assert served[name].took_s < SECONDS_BLOCKED_MAX, operation.label
    assert asked == OPERATIONS[name][mode.is_negative]


def _ask(operation: Any, requests: Any) -> None:
    """Ask as whoever is meant to ask, and a few times as nobody."""
    signers = [name for need in operation.definition.raw.get("security", []) for name in need]
    for signer in signers:
        _ask_as({SIGNS: signer}, requests, EXAMPLES)
    _ask_as({}, requests, EXAMPLES // 6 if signers else EXAMPLES)


def _ask_as(headers: dict[str, str], requests: Any, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(requests)
    def asks(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    asks()


def test_those_who_are_meant_to_ask_are_answered(served: dict[str, Watched], site: Site) -> None:
    """Else everything above might be about refusals."""
    checkpoint, note = kept_checkpoint(
        site.ledger.checkpoint_file, site.ledger.settings.origin, site.ledger.log_key.public_key()
    )
    code = add_gate(site.enrollment.access, "west-1", "south", "in", datetime.now(UTC))
    keys = [base64url(raw_public(Ed25519PrivateKey.generate().public_key())) for _ in "12"]
    newest = {"path_parameters": {"number": f"000.p/{checkpoint.size}"}}
    event = {"id": "evt_1", "type": "x", "data": {"object": {}}}
    provision = {"code": code, "public_key": keys[0], "box_key": keys[1]}
    for name, path, method, who, status, given_ in (
        ("ledger", "/log/tile/entries/{number}", "GET", "auditor", 200, newest),
        ("ledger", "/log/tile/entries/{number}", "GET", "", 302, newest),
        ("ledger", "/api/v1/standings", "GET", "gate", 200, {}),
        ("machines", "/api/v1/gallery", "GET", "gate", 200, {}),
        ("machines", "/api/v1/gallery", "GET", "", 401, {}),
        ("machines", "/api/v1/gates/provision", "POST", "", 200, {"body": provision}),
        ("machines", "/.well-known/jwks.json", "GET", "", 200, {}),
        ("machines", "/api/v1/processor/webhook", "POST", "processor", 204, {"body": event}),
        ("machines", "/api/v1/processor/webhook", "POST", "", 400, {"body": event}),
        ("witness", "/add-checkpoint", "POST", "", 200, {"body": Submission(0, (), note).text()}),
    ):  # fmt: skip
        kind = {} if "body" not in given_ else {
            "media_type": "text/plain" if name == "witness" else "application/json"}  # fmt: skip
        case = described(name, served)[path][method].Case(**given_, **kind)
        headers = {SIGNS: who} if who else {}
        assert case.call_and_validate(headers=headers, checks=CHECKS).status_code == status, path


def test_an_answer_that_blocks_is_noticed() -> None:
    def sleeps(environ: Environ, start: Any) -> Iterable[bytes]:
        time.sleep(0.2)
        start("200 OK", [])
        return []

    watched = Watched(sleeps, {}, {})
    schemathesis_test = {"PATH_INFO": "/x", "REQUEST_METHOD": "GET"}
    watched(schemathesis_test, lambda *_: None)
    assert watched.took_s >= 0.2 > watched.worked_s


def test_an_answer_that_is_not_described_is_found(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    def teapot() -> tuple[dict[str, str], int]:
        """Not what the document says."""
        return {"not": "a note"}, 418

    site.app.view_functions["ledger_public.checkpoint"] = teapot
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", site.app.wsgi_app)
    case = schema["/log/checkpoint"]["GET"].Case()
    with pytest.raises(FailureGroup) as caught:
        case.call_and_validate(checks=CHECKS)
    assert [type(failure) for failure in caught.value.exceptions] == [UndefinedStatusCode]
