"""The wire between a gate and the server application, with everything a wire does.

A request is handed to the real WSGI application in this process. The wire may lose the
request, lose the reply after the server has done its work, deliver twice, or deliver long
after the gate gave up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from facefare.simulate.crashes import Died
from facefare.simulate.steps import Trouble
from facefare.simulate.truth import Truth

SEEN_MAX = 200


@dataclass(frozen=True, slots=True)
class Delayed:
    """A request on its way: how many had been sent by then, and in which step it arrives."""

    sent: int
    due_step: int
    request: httpx.Request


class Wire(httpx.BaseTransport):
    """The network of the city. ``trouble`` befalls the next request, then all is well again."""

    def __init__(
        self, server: httpx.WSGITransport, on_crash: Callable[[], None], truth: Truth
    ) -> None:
        self.server, self._truth = server, truth
        self.trouble: Trouble = ""
        self.late_by = 1  # after how many steps a delayed request arrives
        self.answered: list[httpx.Request] = []
        self._sent = 0
        self._delayed: list[Delayed] = []
        self._crashed = on_crash

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request to the server, as the trouble of the moment allows."""
        request.read()
        self._sent += 1
        trouble, self.trouble = self.trouble, ""
        if trouble:
            self._truth.count(trouble)
        if trouble == "request lost":
            raise httpx.ConnectError("the network is gone", request=request)
        if trouble == "delayed":
            due_step = self._truth.steps + self.late_by
            self._delayed.append(Delayed(self._sent, due_step, _copy(request)))
            raise httpx.ReadTimeout("no answer came in time", request=request)
        response = self._serve(request)
        if trouble == "doubled":
            self._serve(_copy(request))
        if trouble == "reply lost":
            raise httpx.ReadTimeout("no answer came in time", request=request)
        return response

    def take_due(self) -> list[Delayed]:
        """Take the requests that arrive in this step."""
        due = [late for late in self._delayed if late.due_step <= self._truth.steps]
        self._delayed = [late for late in self._delayed if late.due_step > self._truth.steps]
        return due

    def take_all(self) -> list[Delayed]:
        """Take all requests that are still on their way."""
        late, self._delayed = self._delayed, []
        return late

    def arrive(self, late: list[Delayed]) -> None:
        """Let late requests arrive; nobody waits for the answers any more."""
        for one in late:
            if self._sent > one.sent:
                self._truth.count("reordered")
            self.replay(one.request)

    def replay(self, request: httpx.Request) -> httpx.Response | None:
        """Send a request again as it was, or None where the server died of it."""
        try:
            return self._serve(_copy(request))
        except httpx.TransportError:
            return None

    def hear(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Carry somebody else's request, which is no gate's and may be sent again."""
        request = httpx.Request("POST", f"http://localhost{path}", content=body, headers=headers)
        try:
            self.server.handle_request(request).read()
        except Died:
            self._crashed()

    def _serve(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self.server.handle_request(request)
            response.read()
            if response.status_code < 400:
                self.answered = [*self.answered[-SEEN_MAX:], _copy(request)]
        except Died:
            self._crashed()
            raise httpx.ReadError("the server went away", request=request) from None
        # Whoever asked reads it at their own pace.
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Whole(response.content)
        )


class _Whole(httpx.SyncByteStream):
    """An answer's bytes, not read yet."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def _copy(request: httpx.Request) -> httpx.Request:
    return httpx.Request(
        request.method, request.url, headers=request.headers, content=request.content
    )
