"""The peer of ``bench.charge``: a careful service that commits each tap by itself.

Flask, PyJWT and SQLite as most would write it: one tap per request, its signature and hash
checked, its id unique, one row, one commit with ``synchronous=FULL``. No tree, no postings.

python -m bench.one_commit FOLDER PORT: KEY in the environment is the gate's public key.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import threading
from functools import partial
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask, Response, request

from bench.serving import serve


def make_app(folder: str) -> Flask:
    """The whole service."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(os.environ["KEY"]))
    path = str(Path(folder) / "one_commit.sqlite")
    here = threading.local()
    app = Flask(__name__)

    def connection() -> sqlite3.Connection:
        if not hasattr(here, "connection"):
            here.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            here.connection.execute("PRAGMA journal_mode=WAL")
            here.connection.execute("PRAGMA synchronous=FULL")
            here.connection.execute(
                "CREATE TABLE IF NOT EXISTS tap (id TEXT PRIMARY KEY, hash TEXT, signed TEXT)"
            )
        opened: sqlite3.Connection = here.connection
        return opened

    @app.get("/ready")
    def ready() -> str:
        connection()
        return "ready"

    @app.post("/tap")
    def tap() -> Response:
        signed = request.get_data(as_text=True)
        claims = jwt.decode(signed, key, algorithms=["EdDSA"])
        digest = hashlib.sha256(signed.encode()).hexdigest()
        sql = connection()
        sql.execute("BEGIN IMMEDIATE")
        sql.execute("INSERT INTO tap VALUES (?, ?, ?)", (claims["tap_id"], digest, signed))
        sql.execute("COMMIT")
        return Response("accepted")

    return app


if __name__ == "__main__":
    serve(partial(make_app, sys.argv[1]), int(sys.argv[2]))
