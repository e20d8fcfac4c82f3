"""A door controller that takes its commands over HTTP.

    POST url   {"at":"2026-11-22T18:49:07.250Z","command":"open","id":"…","seconds":3.0}
    answer     any 2xx: taken; everything else is a fault

``command`` is ``open``, or ``check`` where the gate only asks whether commands arrive. The
controller times the pulse by itself, and decides what it does when nobody asks any more.
``auth`` is one of

    bearer   Authorization: Bearer SECRET
    hmac     Facefare-Signature: hex of HMAC-SHA256(SECRET, body); the controller refuses an
             ``at`` more than five seconds off, and an ``id`` it has seen
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
from uuid6 import uuid7

from gate.doors.driven import Moved
from gate.errors import DoorError
from gate.settings import DoorSettings
from models.bounded import Bound, ask
from models.wire.times import format_utc

TIMEOUT_S = 2.0
_BOUND = Bound(bytes_max=16_384, seconds_max=2 * TIMEOUT_S)


class HttpDriver:
    """Commands for the controller at ``settings.url``; ``secret`` is never sent with hmac."""

    def __init__(self, settings: DoorSettings, secret: str) -> None:
        self._url = settings.url or ""
        self._auth = settings.auth
        self._pulse_s = settings.pulse_s
        self._secret = secret
        self._http: httpx.Client | None = None

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        """Ask whether commands arrive."""
        self._http = httpx.Client()
        self.check()

    def unlock(self, seconds: float) -> None:
        """Have the controller open for ``seconds``."""
        self._send("open", seconds)

    def lock(self) -> None:
        """The controller times the pulse."""

    def check(self) -> None:
        """Have the controller answer without moving anything."""
        self._send("check", 0.0)

    def close(self) -> None:
        """Release the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _send(self, command: str, seconds: float) -> None:
        if self._http is None:
            raise DoorError("the door's controller is not connected")
        message = {
            "at": format_utc(datetime.now(UTC)),
            "command": command,
            "id": str(uuid7()),
            "seconds": seconds,
        }
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json", **self._credentials(body)}
        try:
            answer = ask(self._http, "POST", self._url, content=body, headers=headers,
                         bound=_BOUND, timeout_s=TIMEOUT_S)  # fmt: skip
        except httpx.HTTPError as error:
            raise DoorError(
                f"the door's controller does not answer ({error or type(error).__name__}); "
                "check its power, its network and door.url"
            ) from error
        if not answer.is_success:
            raise DoorError(
                f"the door's controller answers with status {answer.status_code}; check "
                "door.url, door.auth and door.secret"
            )

    def _credentials(self, body: bytes) -> dict[str, str]:
        if self._auth == "bearer":
            return {"Authorization": f"Bearer {self._secret}"}
        signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        return {"Facefare-Signature": signature}
