"""``facefare bench NAME``: measure one part side by side with its peer."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

NAMES = (
    "engine",
    "search",
    "accuracy",
    "passes",
    "duplicates",
    "charge",
    "log",
    "reconcile",
    "gate",
    "liveness",
    "fares",
    "load",
)


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--test-data",
    type=click.Path(path_type=Path),
    default=Path("../shared/data"),
    envvar="FACEFARE_TEST_DATA",
    show_default=True,
    help="The folder with real faces and clips.",
)
@click.option(
    "--minutes", default=1.0, show_default=True, help="How long riders come (bench gate, load)."
)
@click.option("--full", is_flag=True, help="Record all ten million entries (bench reconcile).")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON line.")
def bench(name: str, seed: int, test_data: Path, minutes: float, full: bool, as_json: bool) -> None:
    """Measure NAME beside its peer, in one run on this machine."""
    module = importlib.import_module(f"bench.{name}")
    own: dict[str, dict[str, Any]] = {
        "gate": {"minutes": minutes},
        "load": {"minutes": minutes},
        "reconcile": {"full": full},
    }
    more = own.get(name, {})
    with Progress(console=Console(stderr=True)) as progress:
        result: dict[str, Any] = module.run(seed, test_data, progress, **more)
    if as_json:
        click.echo(json.dumps(result))
        return
    table = Table("figure", "value", "unit", "target", "peer", "peer value", "ratio")
    for row in result["figures"]:
        columns = ("name", "value", "unit", "target", "peer", "peer_value", "ratio")
        table.add_row(*("" if row.get(c) is None else str(row[c]) for c in columns))
    Console().print(table)
