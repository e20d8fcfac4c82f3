"""A finance office to look at: a day with planted differences, served on a clock that stands still.

What its pages show of ages and open periods depends on the day, so the clock does not move.
For the tests of the console and for its screenshots.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyotp
from flask import Flask
from playwright.sync_api import Page
from sqlmodel import select

from bench.finance_day import (
    RUN_DAY,
    FinanceDay,
    balance_report,
    bank_statements,
    make_day,
    payouts_report,
)
from bench.loopback import Loopback
from facefare.server import create_app
from facefare.setup import make_data
from ledger.adjustments import dispute_credit, settle_dispute
from ledger.checkpoints import publish
from ledger.ledger import Ledger
from ledger.reconcile.drawer import deposit_cash, open_drawer
from ledger.reconcile.importing import import_statement
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.topups import top_up
from models.access.staff import add_staff
from models.database import reading
from models.money import Money
from models.settings import DataDirectory
from models.tables.ledger import EntryRow

PASSWORD = "a long enough password"
ROLES = ("service", "finance", "auditor")


def clock() -> datetime:
    """The morning it always is here."""
    return datetime(2026, 11, 26, 8, tzinfo=UTC)


class Office:
    """The server, its ledger, and the day that lies in it."""

    def __init__(self, path: Path) -> None:
        self.data = DataDirectory(path / "data")
        make_data(self.data, "Test Transit", "fares.example/test")
        self.app: Flask = create_app(self.data, clock=clock)
        self.ledger: Ledger = self.app.extensions["ledger"]
        self.made = self._fill()
        self._server = Loopback(self.app)
        self.address = self._server.address

    def _fill(self) -> FinanceDay:
        made = make_day(self.ledger, 60, 200, seed=7)
        import_statement(self.ledger, balance_report(made), "balance.csv")
        import_statement(self.ledger, payouts_report(made), "payouts.csv")
        for number, data in enumerate(bank_statements(made)):
            import_statement(self.ledger, data, f"bank-{number}.xml")
        run_day(self.ledger, RUN_DAY, Rules())
        open_drawer(self.ledger, str(uuid4()), Money(10_000, "CNY"), "mei")
        top_up(self.ledger, made.accounts[0], Money(4200, "CNY"), str(uuid4()), "mei")
        deposit_cash(self.ledger, str(uuid4()), Money(9_000, "CNY"), "BAG-000471", "mei")
        self._dispute()
        publish(self.ledger)
        return made

    def _dispute(self) -> None:
        with reading(self.ledger.engine) as session:
            rides = session.exec(select(EntryRow).where(EntryRow.kind == "ride").limit(2)).all()
        for ride, settled in zip(rides, (True, False), strict=True):
            credit = str(uuid4())
            dispute_credit(self.ledger, ride.entry_id, Money(100, "CNY"), credit, "mei")
            if settled:
                settle_dispute(self.ledger, credit, upheld=True, made_by="lin")

    def stop(self) -> None:
        """Stop the server and close what it held."""
        self._server.close()
        self.ledger.engine.dispose()

    def sign_in(self, page: Page, name: str, *roles: str) -> None:
        """Make a member of staff and sign them in through the page."""
        register = self.app.extensions["enrollment"].staff
        added = add_staff(register, name, PASSWORD, roles or ROLES, clock())
        page.goto(f"{self.address}/staff/sign-in")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("One-time code").fill(pyotp.TOTP(added.totp_secret).at(clock()))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name=f"Sign out {name}").wait_for()
