"""The command ``facefare passes``: the key that signs passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from enrollment.pass_keys import VALID_FOR, rotate_pass_key
from enrollment.store import open_vault
from models.database import open_sqlite
from models.options import data_option
from models.settings import DataDirectory
from models.tables.riders import RidersTable


@click.group()
def passes() -> None:
    """The passes that riders carry."""


@passes.command("rotate-key")
@click.option("--lost", is_flag=True, help="The old key was lost: trust no pass it signed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def rotate_key(lost: bool, as_json: bool, data: Path) -> None:
    """Sign passes with a new key from now on."""
    directory = DataDirectory(data)
    riders = open_sqlite(directory.riders_db, RidersTable.metadata)
    try:
        kid = rotate_pass_key(riders, open_vault(directory), datetime.now(UTC), lost=lost)
    finally:
        riders.dispose()
    if as_json:
        click.echo(json.dumps({"kid": kid, "lost": lost}))
        return
    click.echo(f"Passes are signed with the key {kid} from now on.")
    if lost:
        click.echo("The old key is trusted no more: every pass issued so far has to be replaced.")
    else:
        click.echo(
            f"Passes signed before stay good until they expire, {VALID_FOR.days} days at most."
        )
