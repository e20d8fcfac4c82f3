"""The wire between a gate and the server application, with everything a wire does.

A request is handed to the real WSGI application in this process. The wire may lose the
request, lose the reply after the server has done its work, deliver twice, or deliver long
after the gate gave up.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from facefare.simulate.crashes import Died
from facefare.simulate.story import Trouble

SEEN_MAX = 200


class Wire(httpx.BaseTransport):
    """The network of the city. ``trouble`` befalls the next request, then all is well again."""

    def __init__(self, server: httpx.WSGITransport, on_crash: Callable[[], None]) -> None:
        self.server = server
        self.trouble: Trouble = ""
        self.answered: list[httpx.Request] = []
        self._delayed: list[httpx.Request] = []
        self._crashed = on_crash

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request to the server, as the trouble of the moment allows."""
        request.read()
        trouble, self.trouble = self.trouble, ""
        if trouble == "request lost":
            raise httpx.ConnectError("the network is gone", request=request)
        if trouble == "delayed":
            self._delayed.append(_copy(request))
            raise httpx.ReadTimeout("no answer came in time", request=request)
        response = self._serve(request)
        if trouble == "doubled":
            self._serve(_copy(request))
        if trouble == "reply lost":
            raise httpx.ReadTimeout("no answer came in time", request=request)
        return response

    def deliver_late(self) -> None:
        """Let everything arrive that was on its way; nobody waits for the answers any more."""
        late, self._delayed = self._delayed, []
        for request in late:
            self.replay(request)

    def replay(self, request: httpx.Request) -> httpx.Response | None:
        """Send a request again as it was, or None where the server died of it."""
        try:
            return self._serve(_copy(request))
        except httpx.TransportError:
            return None

    def _serve(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self.server.handle_request(request)
            response.read()
            if response.status_code < 400:
                self.answered = [*self.answered[-SEEN_MAX:], _copy(request)]
        except Died:
            self._crashed()
            raise httpx.ReadError("the server went away", request=request) from None
        return response


def _copy(request: httpx.Request) -> httpx.Request:
    return httpx.Request(
        request.method, request.url, headers=request.headers, content=request.content
    )
