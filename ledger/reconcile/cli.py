"""``facefare reconcile``: import statements, pair them with the ledger, close periods."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ledger.ledger import Ledger
from ledger.reconcile.books import count_in
from ledger.reconcile.books import repair as make_again
from ledger.reconcile.importing import import_statement
from ledger.reconcile.periods import (
    Closed,
    close_period,
    closed_report,
    reproduce,
)
from ledger.reconcile.reopening import ask_to_reopen, reopen_period
from ledger.reconcile.report import reconciliation
from ledger.reconcile.resolve import (
    ACKNOWLEDGED,
    REASONS,
    TAP_REASONS,
    Proposed,
    comment,
    resolve,
)
from ledger.reconcile.rules import read_rules
from ledger.reconcile.run import run_day
from ledger.reconcile.said import sentence
from ledger.reconcile.statements.profiles import PROFILES
from ledger.reconcile.statements.tables import plain_day
from ledger.rollups import check_roll_ups
from models.database import reading
from models.money import Money
from models.options import data_option
from models.settings import DataDirectory

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON line.")
_day = click.option("--day", required=True, help="A day of the books, like 2026-11-22.")
_REASONS = ", ".join(
    (*REASONS, *(code for of in TAP_REASONS.values() for code in of), ACKNOWLEDGED)
)
_by = click.option("--by", required=True, help="Who does this: your name as a member of staff.")


@click.group()
def reconcile() -> None:
    """Ledger, processor and bank: import, pair, explain, close."""


def _open(data: Path) -> Ledger:
    return Ledger.open(DataDirectory(data))


def _say(as_json: bool, value: dict[str, Any], words: str) -> None:
    click.echo(json.dumps(value, ensure_ascii=False) if as_json else words)


@reconcile.command("import")
@data_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--profile", type=click.Choice(list(PROFILES)), help="What kind of file it is.")
@_json
def import_command(data: Path, file: Path, profile: str | None, as_json: bool) -> None:
    """Import the processor's or the bank's FILE; the same bytes again change nothing."""
    done = import_statement(_open(data), file.read_bytes(), file.name, profile)
    words = f"{done.profile}: {done.lines} lines, {done.new} new, {done.entries} entries booked."
    if done.replayed:
        words = f"{done.profile}: this file was imported before; nothing was added."
    _say(as_json, asdict(done), words)


@reconcile.command("run")
@data_option
@_day
@_json
def run_command(data: Path, day: str, as_json: bool) -> None:
    """Pair everything up to the end of a day and name what differs."""
    ledger = _open(data)
    done = run_day(ledger, plain_day(day), read_rules(data))
    _say(as_json, asdict(done), f"{done.paired} pairs, {done.found} new differences, "
         f"{done.cleared} cleared.")  # fmt: skip


@reconcile.command("report")
@data_option
@click.option("--day", help="Where the books stand at the end of this day.")
@click.option("--period", help="The report of a closed day or month instead.")
@click.option("--again", is_flag=True, help="With --period: make it again from the log first.")
@_json
def report_command(
    data: Path, day: str | None, period: str | None, again: bool, as_json: bool
) -> None:
    """Show the differences and what remains on the clearing accounts, line by line."""
    ledger = _open(data)
    if (day is None) == (period is None):
        raise click.UsageError("name either a day or a closed period")
    if period is not None:
        closed = reproduce(ledger, period) if again else closed_report(ledger, period)
        click.echo(closed.report.decode())
        return
    with reading(ledger.engine) as session:
        report = reconciliation(session, plain_day(day or ""))
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    for one in report["differences"]:
        left, why = Money(one["minor"], one["currency"]).text(), sentence(json.dumps(one["said"]))
        click.echo(f"{one['id']} {one['kind']}, {one['age_days']} days, {left} left, "
                   f"{one['owner']}: {one['subject']}: {why}")  # fmt: skip
    for account in report["clearing"]:
        balance = Money(account["balance"], account["currency"]).text()
        click.echo(f"{account['account']} {balance}, {len(account['remains'])} lines remain, "
                   f"{account['unexplained']} minor units unexplained")  # fmt: skip


@reconcile.command("comment")
@data_option
@click.argument("difference")
@click.argument("words")
@click.option("--version", type=int, required=True, help="The version you looked at.")
@_by
@_json
def comment_command(
    data: Path, difference: str, words: str, version: int, by: str, as_json: bool
) -> None:
    """Add a comment to a DIFFERENCE."""
    new = comment(_open(data), difference, version, words, by)
    _say(as_json, {"version": new}, f"Kept; the difference is at version {new}.")


@reconcile.command("resolve")
@data_option
@click.argument("difference")
@click.option("--reason", required=True, help=f"One of {_REASONS}.")
@click.option("--version", type=int, required=True, help="The version you looked at.")
@click.option("--words", default="", help="What you found out.")
@_by
@_json
def resolve_command(
    data: Path, difference: str, reason: str, version: int, words: str, by: str, as_json: bool
) -> None:
    """Close a DIFFERENCE with an entry that moves its money to where the reason says."""
    done = resolve(_open(data), difference, version, reason, words, by)
    if isinstance(done, Proposed):
        words = "Proposed: this takes two persons; a colleague resolves it for the same reason."
        _say(as_json, {**asdict(done), "proposed": reason}, words)
        return
    told = "" if done.entry is None else f" by entry {done.entry}"
    _say(as_json, asdict(done), f"Resolved{told}.")


@reconcile.command("close")
@data_option
@click.argument("period")
@_by
@_json
def close_command(data: Path, period: str, by: str, as_json: bool) -> None:
    """Close PERIOD, a day or a month; nothing is booked in it afterwards."""
    closed = close_period(_open(data), period, by)
    _say(as_json, _closed_json(closed), f"{period} is closed, revision {closed.revision}, "
         f"report {closed.sha256}.")  # fmt: skip


def _closed_json(closed: Closed) -> dict[str, Any]:
    return {"period": closed.period, "revision": closed.revision, "sha256": closed.sha256,
            "report": json.loads(closed.report)}  # fmt: skip


@reconcile.command("reopen")
@data_option
@click.argument("period")
@click.option("--reason", help="Why: the first person asks with a reason.")
@click.option("--approve", is_flag=True, help="Agree: the second person.")
@_by
@_json
def reopen_command(
    data: Path, period: str, reason: str | None, approve: bool, by: str, as_json: bool
) -> None:
    """Open a closed PERIOD again: one person asks, another one approves."""
    if approve == (reason is not None):
        raise click.UsageError("either give a reason (ask) or approve what was asked")
    ledger = _open(data)
    if reason is not None:
        ask_to_reopen(ledger, period, reason, by)
        _say(as_json, {"asked": period}, "Asked; another person must approve it.")
        return
    revision = reopen_period(ledger, period, by)
    _say(as_json, {"reopened": period, "revision": revision}, f"{period} is open again.")


@reconcile.command("zone")
@data_option
@click.argument("zone")
@_json
def zone_command(data: Path, zone: str, as_json: bool) -> None:
    """Count the days of the books in the time zone ZONE, like Asia/Shanghai."""
    count_in(_open(data), zone)
    _say(as_json, {"zone": zone}, f"The books count their days in {zone}.")


@reconcile.command("recount")
@data_option
@click.option("--repair", is_flag=True, help="Make the roll-ups again from the entries.")
@_json
def recount_command(data: Path, repair: bool, as_json: bool) -> None:
    """Count the entries again and compare the roll-ups with them."""
    ledger = _open(data)
    if repair:
        make_again(ledger)
    with reading(ledger.engine) as session:
        rows = check_roll_ups(session)
    _say(as_json, {"rows": rows}, f"ok: {rows} rows agree with the entries.")
