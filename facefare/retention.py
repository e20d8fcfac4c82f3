"""``facefare enrollment expire``: erase the riders who have not ridden for the retention time.

Enrollment knows who they are, the ledger when they rode last; here the two are put together.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click
from sqlmodel import col, func, select

from enrollment.retention import expire_riders, riders_to_forget
from facefare.server import create_app
from ledger.ledger import Ledger
from ledger.sequencer import sequence
from models.database import reading
from models.options import data_option
from models.settings import DataDirectory
from models.tables.ledger import EntryRow


@click.group()
def enrollment() -> None:
    """The riders as a whole."""


@enrollment.command("expire")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def expire(dry_run: bool, as_json: bool, data: Path) -> None:
    """Erase riders without a ride for 'retention_months' of the settings; run it once a day.

    An erasure that was interrupted is finished.
    """
    app = create_app(DataDirectory(data))
    desk, ledger = app.extensions["enrollment"], app.extensions["ledger"]
    sequence(ledger)  # a ride that waits for its number is a ride
    now = desk.clock()
    with app.app_context():
        if dry_run:
            count = len(riders_to_forget(desk, lambda account: last_ride(ledger, account), now))
        else:
            count = expire_riders(desk, lambda account: last_ride(ledger, account), now)
    months = desk.settings.retention_months
    if as_json:
        click.echo(json.dumps({"months": months, "riders": count, "erased": not dry_run}))
        return
    said = "would be erased" if dry_run else "were erased"
    click.echo(f"{count} riders without a ride for {months} months {said}.")


def last_ride(ledger: Ledger, account_id: str) -> datetime | None:
    """When the account rode last, or None where it never did."""
    newest = select(func.max(col(EntryRow.occurred_at))).where(
        EntryRow.account_id == account_id, EntryRow.kind == "ride"
    )
    with reading(ledger.engine) as session:
        return session.exec(newest).one()
