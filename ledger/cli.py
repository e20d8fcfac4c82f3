"""``facefare ledger``: verify the log, show its newest checkpoint, make receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

import click
from rich.console import Console
from rich.progress import Progress

from ledger.checkpoints import publish
from ledger.closing import close_days
from ledger.exports.cli import export_command
from ledger.kept import CheckpointFile, CheckpointRefused
from ledger.ledger import Ledger
from ledger.proving import receipt
from ledger.replaying import entry_lines, replay
from ledger.timestamps import Stamp, check_stamps, kept_stamps
from ledger.verified import keep_verified
from ledger.verify import LogBroken, ShowProgress, VerifyReport, verify
from models.options import data_option
from models.settings import DataDirectory
from models.wire.times import format_utc


@click.group()
def ledger() -> None:
    """The fare log: verify it, sign it, prove what is in it."""


ledger.add_command(export_command)


@ledger.command("verify")
@data_option
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint you kept yourself. Without one, truncation is not excluded.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON line.")
def verify_command(data: Path, checkpoint_file: Path | None, as_json: bool) -> None:
    """Hash every entry again and compare it with everything beside it."""
    opened = Ledger.open(DataDirectory(data))
    note = None if checkpoint_file is None else checkpoint_file.read_text(encoding="utf-8")
    try:
        report, stamps = _verify(opened, note)
    except (LogBroken, CheckpointRefused) as broken:
        keep_verified(opened, 0, str(broken))
        raise
    keep_verified(opened, report.entries)
    if as_json:
        shown = [{**asdict(stamp), "at": format_utc(stamp.at)} for stamp in stamps]
        click.echo(json.dumps({"verify": "ok", **asdict(report), "timestamps": shown}))
    else:
        _print(report, stamps)


def _verify(opened: Ledger, note: str | None) -> tuple[VerifyReport, list[Stamp]]:
    """Verify the log, and then the time-stamps that were kept, which are about a verified log."""
    kept = CheckpointFile(opened.checkpoint_file).read()  # before the log, which goes on growing
    key, origin = opened.log_key.public_key(), opened.settings.origin
    with _shown_progress() as progress:
        report = verify(opened.engine, origin, key, note, opened.vault, progress, kept=kept)
    settings, unread = opened.settings.timestamp, kept_stamps(opened)
    if settings is not None:
        return report, check_stamps(opened, settings)
    if unread:
        gap = (f"when entries existed: the time-stamps that are kept ({len(unread)}) were not "
               "checked, because the settings name no authority ([timestamp])")  # fmt: skip
        report = replace(report, not_excluded=(*report.not_excluded, gap))
    return report, []


@contextmanager
def _shown_progress() -> Iterator[ShowProgress]:
    """A bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("entries", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _print(report: VerifyReport, stamps: Sequence[Stamp]) -> None:
    click.echo(f"ok: {report.entries} entries, root {report.root}")
    if report.checkpoint_size is not None:
        click.echo(f"the first {report.checkpoint_size} are those of the checkpoint")
    if report.kept_size is not None:
        click.echo(f"the first {report.kept_size} are those of the checkpoint kept here")
    if stamps:
        newest = stamps[-1]
        click.echo(
            f"{len(stamps)} time-stamps are good; the newest says that the first {newest.size} "
            f"entries existed on {format_utc(newest.at)}"
        )
    if report.erased:
        click.echo(f"{report.erased} entries belong to riders who were erased")
    for gap in report.not_excluded:
        click.echo(f"not excluded: {gap}")


@ledger.command("checkpoint")
@data_option
@click.option("--publish", "sign", is_flag=True, help="Sign a new one first if entries wait.")
def checkpoint_command(data: Path, sign: bool) -> None:
    """Print the newest signed checkpoint; keep it somewhere else to verify against later."""
    opened = Ledger.open(DataDirectory(data))
    if sign:
        publish(opened)
    click.echo(CheckpointFile(opened.checkpoint_file).read(), nl=False)


@ledger.command("receipt")
@data_option
@click.argument("ride")
def receipt_command(data: Path, ride: str) -> None:
    """Print the receipt of RIDE (its tap id, or a top-up's id) as a .tlog-proof file.

    Anyone can check it with docs/verify/verify_facefare.py and the log's public key.
    """
    click.echo(receipt(Ledger.open(DataDirectory(data)), ride).text(), nl=False)


@ledger.command("entries")
@data_option
def entries_command(data: Path) -> None:
    """Print every entry's exact bytes, one a line, for an auditor to replay."""
    opened = Ledger.open(DataDirectory(data))
    for line in entry_lines(opened):
        click.echo(line, nl=False)
    opened.engine.dispose()


@ledger.command("replay")
@data_option
@click.argument("entries", type=click.File("rb"))
def replay_command(data: Path, entries: IO[bytes]) -> None:
    """Put ENTRIES (a file, or - for standard input) into an empty ledger; print size and root.

    The root must be the one in the checkpoint that was signed over as many entries.
    """
    opened = Ledger.open(DataDirectory(data))
    made = replay(opened, entries)
    opened.engine.dispose()
    click.echo(f"{made.size} entries, root {made.root.hex()}")


@ledger.command("key")
@data_option
def key_command(data: Path) -> None:
    """Print the log's public key, which receipts and checkpoints are checked with."""
    click.echo(Ledger.open(DataDirectory(data)).verifier_key)


@ledger.command("close-day")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON line.")
def close_day_command(data: Path, as_json: bool) -> None:
    """Charge the journeys of closed service days that lack their other tap.

    The server does this by itself; doing it again charges nothing.
    """
    done = close_days(Ledger.open(DataDirectory(data)))
    if as_json:
        shown = {"entries": done.entries, "riders": done.riders, "through": str(done.through)}
        click.echo(json.dumps({"close_day": shown}))
    else:
        click.echo(
            f"{done.entries} entries for {done.riders} riders; service days are closed through "
            f"{done.through}"
        )
