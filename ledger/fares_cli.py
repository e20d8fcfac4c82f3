"""``facefare fares``: import a feed, list the feeds in force, and say what a ride costs and why."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from ledger.asking import Answered, ask
from ledger.fares.calendars import service_day
from ledger.fares.gtfs import feed_files
from ledger.fares.problems import FeedRefused, Problem
from ledger.feeds import activate, feed_rows, first_free_day
from ledger.ledger import Ledger
from models.database import reading
from models.options import data_option
from models.settings import DataDirectory

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON line.")


@click.group()
def fares() -> None:
    """What rides cost: import a GTFS feed, see what is in force, explain a price."""


@fares.command("import")
@data_option
@click.argument("feed", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--from",
    "effective",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first service day, from 04:30 on.  [default: the first nobody rode on]",
)
@click.option(
    "--own",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with our own files (fare_policies.txt, …), if FEED does not hold them.",
)
@json_option
def import_command(
    data: Path, feed: Path, effective: datetime | None, own: Path | None, as_json: bool
) -> None:
    """Check FEED (a folder or ZIP in GTFS Fares v2) and put it in force.

    Everything that is wrong with it is told at once; then nothing changes and the feed in
    force stays.
    """
    opened = Ledger.open(DataDirectory(data))
    files = feed_files(feed, own)
    start = first_day(opened) if effective is None else effective.date()
    currency = opened.settings.currency
    try:
        tables = activate(opened.engine, files, start, currency, "command line", opened.clock())
    except FeedRefused as error:
        if not as_json:
            raise
        click.echo(json.dumps({"import": "refused", "problems": _problems(error.problems)}))
        sys.exit(1)
    if as_json:
        shown = {"name": tables.name, "from": str(start), "sha256": tables.sha256}
        warnings = _problems(tables.warnings)
        click.echo(json.dumps({"import": "in force", **shown, "warnings": warnings}))
        return
    for warning in tables.warnings:
        click.echo(f"note: {warning}")
    click.echo(f"{tables.name} is in force from {start} 04:30 ({tables.zone.key}).")


def first_day(ledger: Ledger) -> date:
    """The first service day a feed could be in force: today, unless somebody rode already."""
    with reading(ledger.engine) as session:
        zone = ledger.fares.book(session).zone
        today = date.fromordinal(service_day(ledger.clock(), zone))
        return max(today, first_free_day(session, zone))


def _problems(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [
        {"file": p.file, "line": p.line, "field": p.field, "value": p.value, "expected": p.expected}
        for p in problems
    ]


@fares.command("list")
@data_option
@json_option
def list_command(data: Path, as_json: bool) -> None:
    """Show every feed that was activated, and from which day each is in force."""
    opened = Ledger.open(DataDirectory(data))
    with reading(opened.engine) as session:
        rows = [
            {"number": row.number, "from": row.effective, "name": row.name, "sha256": row.sha256}
            for row in feed_rows(session)
        ]
    if as_json:
        click.echo(json.dumps({"feeds": rows}))
    elif not rows:
        fare = opened.settings.fare.text()
        click.echo(f"No feed was imported: every ride costs the flat fare of {fare}.")
    for row in () if as_json else rows:
        click.echo("{number}  from {from}  {name}  {sha256:.16}".format(**row))


@fares.command("price")
@data_option
@click.option("--from", "start", required=True, help="The stop or station to ride from.")
@click.option("--to", "end", default="", help="Where to; left out: without a tap on the way out.")
@click.option("--at", "when", default="", help="2026-03-05T08:00, by the clock there.  [now]")
@click.option("--category", default="", help="The rider's category, such as student.")
@click.option("--network", default="", help="Only on this network.")
@json_option
def price_command(
    data: Path, start: str, end: str, when: str, category: str, network: str, as_json: bool
) -> None:
    """Say what one ride costs, before transfers and caps, and by which rule of which feed."""
    answered = ask(Ledger.open(DataDirectory(data)), start, end, when, category, network)
    if as_json:
        click.echo(json.dumps(_as_json(answered), ensure_ascii=False))
        return
    click.echo(f"{answered.feed}, {answered.moment:%Y-%m-%d %H:%M} ({answered.zone})")
    for price in answered.prices:
        click.echo(f"{price.network}: {price.amount.text()}  {price.rule.row}")
        click.echo(f"  {price.rule.words('en')}")
        click.echo(f"  {price.rule.words('zh')}")
    if not answered.prices:
        click.echo("no rule of the feed prices this ride: nothing would be charged")


def _as_json(answered: Answered) -> dict[str, Any]:
    return {
        "feed": answered.feed,
        "sha256": answered.sha256,
        "at": answered.moment.isoformat(),
        "prices": [
            {
                "network": price.network,
                "amount": {"currency": price.amount.currency, "minor": price.amount.minor},
                "rule": price.rule.code,
                "row": price.rule.row,
                "words": {language: price.rule.words(language) for language in ("en", "zh")},
            }
            for price in answered.prices
        ],
    }
