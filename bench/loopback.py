"""An application on loopback, served by a thread of this program until it is closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


_log = logging.getLogger(__name__)


class _Logging(WSGIRequestHandler):
    """Logs a line for each request, and prints none."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Log a line; werkzeug's own would make a handler that prints."""
        _log.info(message, *args)


class Loopback:
    """Serves ``app``, each request in a thread of its own; ``host`` is its name in ``address``.

    Browsers trust ``localhost`` like HTTPS: passkeys and cameras need that.
    """

    def __init__(self, app: WSGIApplication, port: int = 0, host: str = "127.0.0.1") -> None:
        self._server = make_server(
            "127.0.0.1", port, _closing(app), threaded=True, request_handler=_Logging
        )
        self.address = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _closing(app: WSGIApplication) -> WSGIApplication:
    """``app`` with answers that close themselves where werkzeug does not.

    It forgets to close a file that it was sending to a browser that went away.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        return _parts(app(environ, start_response))

    return answer


def _parts(answer: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from answer
    finally:
        getattr(answer, "close", lambda: None)()
