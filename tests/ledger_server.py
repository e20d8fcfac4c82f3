"""Serve a ledger's HTTP interface and nothing else; killed by its tests at any moment.

python ledger_server.py DATA PORT
"""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask
from werkzeug.serving import make_server

from ledger.app import create_blueprints
from ledger.checkpoints import Publisher
from ledger.ledger import Ledger
from models.access.gates import GateRegister
from models.database import open_sqlite
from models.errors import FacefareError
from models.settings import DataDirectory
from models.tables.access import AccessTable
from models.wire.tokens import TokenRefused


def main(path: str, port: str) -> None:
    data = DataDirectory(Path(path))
    ledger = Ledger.open(data)
    app = Flask(__name__)
    register = GateRegister(open_sqlite(data.access_db, AccessTable.metadata))
    for blueprint in create_blueprints(ledger, register):
        app.register_blueprint(blueprint)

    @app.errorhandler(FacefareError)
    def tell(error: FacefareError) -> tuple[str, int]:
        return str(error), 401 if isinstance(error, TokenRefused) else 400

    Publisher(ledger, interval_s=0.3).start()
    make_server("127.0.0.1", int(port), app, threaded=True).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
