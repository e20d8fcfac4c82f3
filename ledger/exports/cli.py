"""``facefare ledger export``: the books as a file."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from ledger.exports.export import FORMATS, export, whole_file
from ledger.exports.lines import Span
from ledger.ledger import Ledger
from models.options import data_option
from models.settings import DataDirectory


@click.command("export")
@data_option
@click.option("--format", "kind", type=click.Choice([*FORMATS, "pdf"]), required=True)
@click.option("--from", "first", default="", help="The first day of the books to write.")
@click.option("--to", "last", default="", help="The last day of the books to write.")
@click.option("--period", help="With pdf: the day or month to report on, like 2026-11-22.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON line.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_command(
    data: Path, kind: str, first: str, last: str, period: str | None, as_json: bool, file: Path
) -> None:
    """Write the ledger's lines to FILE, or with pdf a day's or month's report."""
    if (kind == "pdf") != (period is not None):
        raise click.UsageError("a pdf is made of a --period, anything else of days")
    ledger = Ledger.open(DataDirectory(data))
    if period is not None:
        from ledger.exports.day_pdf import report_pdf

        with whole_file(file) as part:
            part.write_bytes(report_pdf(ledger, period))
        lines = 0
    else:
        lines = _with_progress(ledger, kind, file, Span(first, last))
    ledger.engine.dispose()
    if as_json:
        click.echo(json.dumps({"file": str(file), "format": kind, "lines": lines}))
    else:
        click.echo(f"{file}: {lines} lines" if lines else f"{file}: written")


def _with_progress(ledger: Ledger, kind: str, file: Path, span: Span) -> int:
    """A bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("entries", total=None)

        def show(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size)

        return export(ledger, kind, file, span, show)
