"""Staff sessions for a test application that has no sign-in pages of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Flask

from facefare import languages
from models.access.staff import SignedIn, new_account
from models.access.web import keep_sessions, start_session
from models.database import open_sqlite, writing
from models.tables.access import AccessTable, Staff


def let_staff_sign_in(app: Flask, path: Path) -> None:
    """Keep sessions in a new database in the folder ``path``, and let pages be translated.

    ``/as/<name>/<roles>`` makes the member of staff and signs them in; roles are joined by ``+``.
    """
    database = open_sqlite(path / "staff.sqlite", AccessTable.metadata, create=True)
    keep_sessions(app, database, lambda: datetime.now(UTC))
    languages.speak(app)
    staff = Blueprint("staff", __name__)

    @staff.get("/sign-in")
    def sign_in() -> str:
        return "sign in"

    @staff.get("/as/<name>/<roles>")
    def sign_in_as(name: str, roles: str) -> str:
        wanted = roles.split("+")
        account = new_account(name, wanted, datetime.now(UTC))
        with writing(database) as session:
            known = session.get(Staff, name)
            if known is not None:
                known.roles = account.roles
            session.add(known or account)
        start_session(SignedIn(name, frozenset(wanted)))
        return "signed in"

    app.register_blueprint(staff)
