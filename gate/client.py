"""The gate's requests to the server, each with a token bound to that one request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ValidationError

from gate.errors import GateRevoked, ServerRefused, ServerUnreachable
from gate.words import is_code
from models.bounded import Bound, ask
from models.wire.tap import Direction
from models.wire.tokens import GateUnknown, Request, issue_gate_token

TIMEOUT_S = 5.0
NEWS_WAIT_S = 20
NEWS_PAUSE_S = 15.0
"""How long to leave the server alone when it has no room for one more waiting question."""

RETRY_AFTER_S_MAX = 60.0
TAPS_PER_REQUEST_MAX = 512
_BOUND = Bound(bytes_max=128 * 1024 * 1024, seconds_max=600.0)
"""More than the largest gallery over the slowest line."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EnrollmentKey(BaseModel):
    """The key that signs galleries, as a JWK."""

    x: str


class Provisioned(BaseModel):
    """What the server tells a new gate about itself."""

    gate: str
    station: str
    direction: Direction
    enrollment_key: EnrollmentKey


class Client:
    """Speaks to the server at ``server`` (an http or https address) as ``gate``.

    ``transport`` and ``clock`` are the network and the gate's own clock, where they are others.
    ``learn`` hears the server's time and says whether it changes the clock's.
    """

    def __init__(
        self,
        server: str,
        gate: str,
        key: Ed25519PrivateKey,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], datetime] = _utc_now,
        learn: Callable[[str], bool] = lambda date: False,
        news_wait_s: int = NEWS_WAIT_S,
    ) -> None:
        self._gate = gate
        self._key = key
        self._clock = clock
        self._learn = learn
        self._news_wait_s = news_wait_s
        self._http = httpx.Client(base_url=server, timeout=TIMEOUT_S, transport=transport)
        self._newest = -1  # the gallery version that the server last called the newest
        self._listed = -1  # the version of the deny list that the server told last
        self._closed = threading.Event()

    def close(self) -> None:
        """Release the connections."""
        self._closed.set()
        self._http.close()

    def now(self) -> datetime:
        """The time here, as the server's last answer put it right."""
        return self._clock()

    def send_taps(self, signed: list[str]) -> list[dict[str, Any]]:
        """Deliver up to 512 signed taps and return the ledger's answer to each, in order."""
        body = json.dumps({"taps": signed}).encode()
        response = self._send("POST", "/api/v1/taps", body, "ledger")
        answers = _contents(response).get("answers")
        if not isinstance(answers, list) or len(answers) != len(signed):
            raise ServerUnreachable("the server's answer to the taps cannot be read")
        return answers

    def gallery(self, have: int, base: int | None = None) -> bytes | None:
        """The sealed gallery, or its change since ``base``; None while ``have`` is the newest.

        Asked again about a version that was the newest the last time, the server holds its
        answer back until there is a newer one, for ``news_wait_s`` at most.
        """
        wait_s = self._news_wait_s if have == self._newest else 0
        since = "" if base is None else f"&base={base}"
        wait = f"&wait={wait_s}" if wait_s else ""
        path = f"/api/v1/gallery?have={have}{since}{wait}"
        response = self._send("GET", path, b"", "enrollment", TIMEOUT_S + wait_s)
        if response.status_code not in (204, 304):
            return response.content
        self._newest = have
        if "Retry-After" in response.headers:
            self._closed.wait(NEWS_PAUSE_S)
        return None

    def blocked_accounts(self, news: bool = False) -> dict[str, str]:
        """The deny list: account to the reason the rider also sees.

        A code of ``gate.words`` where the gate has words of its own, which name no balance on
        a screen that everybody can read; else the server's sentence. With ``news`` the server
        holds its answer back, as for the gallery, until the list is another than the last time.
        """
        have = self._listed
        wait_s = self._news_wait_s if news and have >= 0 else 0
        path = f"/api/v1/standings?have={have}&wait={wait_s}" if wait_s else "/api/v1/standings"
        asked_s = time.monotonic()
        answer = _contents(self._send("GET", path, b"", "ledger", TIMEOUT_S + wait_s))
        blocked = answer.get("blocked")
        if not isinstance(blocked, list):
            raise ServerUnreachable("the server's deny list cannot be read")
        self._listed = answer.get("version", -1)
        if wait_s and self._listed == have and time.monotonic() - asked_s < wait_s / 2:
            self._closed.wait(NEWS_PAUSE_S)  # there was no room to wait in
        return {
            row["account"]: row["reason"] if is_code(row["reason"]) else row["words"]
            for row in blocked
        }

    def _send(
        self, method: str, path: str, body: bytes, audience: str, timeout_s: float = TIMEOUT_S
    ) -> httpx.Response:
        request = Request(method, path, body)
        response = self._ask(request, audience, timeout_s)
        if self._learn(response.headers.get("Date", "")) and not response.is_success:
            response = self._ask(request, audience, timeout_s)  # its token bore a wrong time
        return checked(response)

    def _ask(self, request: Request, audience: str, timeout_s: float) -> httpx.Response:
        token = issue_gate_token(self._key, self._gate, audience, request, self._clock())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            return ask(
                self._http,
                request.method,
                request.path,
                content=request.body,
                headers=headers,
                bound=_BOUND,
                timeout_s=timeout_s,
            )
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"the server does not answer: {error}") from error


def checked(response: httpx.Response) -> httpx.Response:
    """Return a good response; raise what a bad one says (RFC 9457 ``title``, ``detail``).

    Whatever stands before the server may answer in its place: only the server's own word says
    that this gate was revoked.
    """
    if response.is_success:
        return response
    if response.is_redirect:
        raise ServerRefused(
            f"the server answers with a redirect to {response.headers.get('location', '?')}; "
            "use that address"
        )
    problem = _json(response)
    detail = problem.get("detail", f"status {response.status_code}")
    if response.status_code >= 500 or response.status_code == 429:
        raise ServerUnreachable(f"the server cannot answer now: {detail}", _asked_pause_s(response))
    if response.status_code == 401 and problem.get("title") == GateUnknown.__name__:
        raise GateRevoked(f"the server refuses this gate: {detail}")
    raise ServerRefused(f"the server refuses what this gate asks: {detail}")


def _contents(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a good answer; a page where one signs in to a network is none."""
    found = _json(response)
    if not found:
        raise ServerUnreachable(
            "what answers at the server's address is not a Facefare server; check the address, "
            "and what stands before the server"
        )
    return found


def _json(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer; empty where there is none."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _asked_pause_s(response: httpx.Response) -> float:
    """The ``Retry-After`` of an answer in seconds, never so long that a gate is forgotten."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), RETRY_AFTER_S_MAX) if asked.isdecimal() else 0.0


def provision(server: str, code: str, public_key: str, box_key: str) -> Provisioned:
    """Spend a one-time code; return the gate's name, station, direction and the server's keys."""
    asked = {"code": code, "public_key": public_key, "box_key": box_key}
    try:
        with httpx.Client() as client:
            response = ask(
                client,
                "POST",
                f"{server.rstrip('/')}/api/v1/gates/provision",
                content=json.dumps(asked).encode(),
                headers={"Content-Type": "application/json"},
                bound=_BOUND,
                timeout_s=TIMEOUT_S,
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerUnreachable(
            f"the server at {server} does not answer ({error}); check the address"
        ) from error
    try:
        return Provisioned.model_validate_json(checked(response).content)
    except ValidationError as error:
        raise ServerUnreachable(
            f"what answers at {server} is not a Facefare server; check the address"
        ) from error
