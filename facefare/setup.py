"""``facefare init``: make an operator's data directory, and its first admin."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

import enrollment.store
import ledger.ledger
from enrollment.cli import one_time_link, server_option
from models.access.invitations import invite_staff
from models.access.staff import StaffRegister, new_account
from models.options import data_option
from models.settings import TEMPLATE, DataDirectory, make_directories, parse_settings
from models.wire.keys import write_private_file

SESSION_KEY_BYTES = 32


def make_data(data: DataDirectory, operator: str, origin: str) -> None:
    """Create everything in ``data``; the settings file comes last and marks it complete.

    Raises ``SettingsError`` where the directory is in use or cannot be written.
    """
    text = TEMPLATE.format(operator=_escaped(operator), origin=_escaped(origin))
    parse_settings(text, data.settings_file)
    make_directories(data)
    enrollment.store.create_stores(data, origin)
    ledger.ledger.create(data)
    write_private_file(data.session_key, os.urandom(SESSION_KEY_BYTES))
    data.settings_file.write_text(text, encoding="utf-8")


def _escaped(text: str) -> str:
    """The inside of a TOML string; JSON's escapes are valid in it."""
    return json.dumps(text)[1:-1]


@click.command()
@data_option
@click.option("--operator", default="Example Transit", show_default=True, help="Your name.")
@click.option(
    "--origin",
    default="fares.example/city",
    show_default=True,
    help="The name of your fare log in every checkpoint; it cannot be changed later.",
)
@click.option("--admin", default="admin", show_default=True, help="The first admin's name.")
@server_option
def init(data: Path, operator: str, origin: str, admin: str, server: str) -> None:
    """Make the data directory: databases, keys and settings, and the first admin."""
    made = DataDirectory(data)
    now = datetime.now(UTC)
    new_account(admin, ["admin"], now)  # a name that cannot be used shows before anything is made
    make_data(made, operator, origin)
    token = invite_staff(StaffRegister.open(made), admin, ["admin"], now)
    click.echo(f"Made {data}. Next: look at {made.settings_file}, then start the server:")
    click.echo(f"  facefare serve --data {data}")
    click.echo(f"and set the password of {admin} at this link, which is good once, for 24 hours:")
    click.echo(f"  {one_time_link(server, token)}")
