"""A small web server for this machine alone, in a thread of the gate's program (waitress)."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import waitress  # type: ignore[import-untyped]
from waitress import wasyncore

from gate.errors import GateConfigError

HOST = "127.0.0.1"
THREADS = 6


class LocalServer:
    """Serves ``app`` at ``http://127.0.0.1:port/``; port 0 takes a free one.

    Raises ``GateConfigError`` where the port is taken.
    """

    def __init__(self, app: Any, port: int, name: str) -> None:
        try:
            listening = socket.create_server((HOST, port))
        except OSError as error:
            raise GateConfigError(
                f"{HOST}:{port} cannot be used for the {name} ({error.strerror}); stop the other "
                f"program or choose another {name}.port in gate.toml"
            ) from error
        self.port: int = listening.getsockname()[1]
        self._connections: dict[int, Any] = {}
        self._server = waitress.create_server(
            app, map=self._connections, sockets=[listening], threads=THREADS, ident=None
        )
        self._thread = threading.Thread(target=self._server.run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; what is under way is answered first."""
        self._server.task_dispatcher.shutdown(timeout=3)
        if self._thread.is_alive():
            # The loop ends when it has no connection left, and only its own thread may close them.
            with suppress(OSError):  # the loop was ending by itself
                self._server.trigger.pull_trigger(self._close)
            self._thread.join(5.0)
        else:
            self._close()

    def _close(self) -> None:
        wasyncore.close_all(self._connections)
