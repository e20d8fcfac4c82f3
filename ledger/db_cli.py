"""``facefare db``: bring the fares database to the schema of this program."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.ledger import open_fares
from ledger.schema import HEAD, upgrade
from models.options import data_option
from models.settings import DataDirectory


@click.group()
def db() -> None:
    """The fares database: a SQLite file, or PostgreSQL where facefare.toml names one."""


@db.command("upgrade")
@data_option
def upgrade_command(data: Path) -> None:
    """Bring the database to this program's schema; an empty one gets its tables.

    It is one transaction: it is done whole or not at all. Make a backup first.
    """
    directory = DataDirectory(data)
    before = upgrade(open_fares(directory, directory.settings()))
    if before == HEAD:
        click.echo(f"The fares database has the schema {HEAD!r} already.")
    else:
        click.echo(f"The fares database has the schema {HEAD!r} now; before: {before or 'none'}.")
