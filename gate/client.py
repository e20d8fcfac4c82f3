"""The gate's requests to the server, each with a token bound to that one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ValidationError

from gate.errors import ServerRefused, ServerUnreachable
from models.wire.tap import Direction
from models.wire.tokens import Request, issue_gate_token

TIMEOUT_S = 5.0
TAPS_PER_REQUEST_MAX = 512


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
    """

    def __init__(
        self,
        server: str,
        gate: str,
        key: Ed25519PrivateKey,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._gate = gate
        self._key = key
        self._clock = clock
        self._http = httpx.Client(base_url=server, timeout=TIMEOUT_S, transport=transport)

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def send_taps(self, signed: list[str]) -> list[dict[str, Any]]:
        """Deliver up to 512 signed taps and return the ledger's answer to each, in order."""
        body = json.dumps({"taps": signed}).encode()
        response = self._send("POST", "/api/v1/taps", body, "ledger")
        answers = response.json().get("answers")
        if not isinstance(answers, list) or len(answers) != len(signed):
            raise ServerUnreachable("the server's answer to the taps cannot be read")
        return answers

    def gallery(self, have: int) -> bytes | None:
        """The sealed gallery, or None while version ``have`` is still the newest."""
        response = self._send("GET", f"/api/v1/gallery?have={have}", b"", "enrollment")
        return None if response.status_code in (204, 304) else response.content

    def blocked_accounts(self) -> dict[str, str]:
        """The deny list: account to the reason the rider also sees."""
        response = self._send("GET", "/api/v1/standings", b"", "ledger")
        return {row["account"]: row["words"] for row in response.json()["blocked"]}

    def _send(self, method: str, path: str, body: bytes, audience: str) -> httpx.Response:
        token = issue_gate_token(
            self._key, self._gate, audience, Request(method, path, body), self._clock()
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            response = self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"the server does not answer: {error}") from error
        return checked(response)


def checked(response: httpx.Response) -> httpx.Response:
    """Return a good response; raise what a bad one says (RFC 9457 ``detail``)."""
    if response.is_success:
        return response
    if response.is_redirect:
        raise ServerRefused(
            f"the server answers with a redirect to {response.headers.get('location', '?')}; "
            "use that address"
        )
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"status {response.status_code}"
    if response.status_code >= 500 or response.status_code == 429:
        raise ServerUnreachable(f"the server cannot answer now: {detail}")
    raise ServerRefused(f"the server refuses this gate: {detail}")


def provision(server: str, code: str, public_key: str, box_key: str) -> Provisioned:
    """Spend a one-time code; return the gate's name, station, direction and the server's keys."""
    try:
        response = httpx.post(
            f"{server.rstrip('/')}/api/v1/gates/provision",
            json={"code": code, "public_key": public_key, "box_key": box_key},
            timeout=TIMEOUT_S,
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
