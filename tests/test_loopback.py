"""The server that browser tests and screenshots run against lets go of what it was sending."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

from bench.loopback import Loopback


def test_an_answer_is_closed_when_the_browser_goes_away_before_its_end() -> None:
    asked, gone, closed = threading.Event(), threading.Event(), threading.Event()

    class Answer:
        """A file of which the last byte was sent just before the browser left."""

        def __iter__(self) -> Iterator[bytes]:
            yield b"<svg/>"
            asked.set()
            gone.wait(10)

        def close(self) -> None:
            closed.set()

    def app(environ: object, start_response: object) -> Answer:
        assert callable(start_response)
        start_response("200 OK", [("Content-Type", "image/svg+xml"), ("Content-Length", "6")])
        return Answer()

    server = Loopback(app)
    try:
        host, port = server.address.removeprefix("http://").split(":")
        browser = socket.create_connection((host, int(port)))
        browser.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert asked.wait(10)
        # With this the connection is reset: nobody waits for what is still to come.
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        browser.close()
        gone.set()
        assert closed.wait(10)
    finally:
        server.close()
