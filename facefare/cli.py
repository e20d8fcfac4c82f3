"""The ``facefare`` command. Each group is imported only when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from models.errors import FacefareError

_COMMANDS = {
    "init": "facefare.setup:init",
    "serve": "facefare.server:serve",
    "backup": "facefare.backup:backup",
    "staff": "enrollment.cli:staff",
    "gates": "enrollment.cli:gates",
    "access": "enrollment.access_cli:access",
    "passes": "enrollment.passes_cli:passes",
    "enrollment": "facefare.retention:enrollment",
    "gate": "gate.cli:gate",
    "ledger": "ledger.cli:ledger",
    "fares": "ledger.fares_cli:fares",
    "db": "ledger.db_cli:db",
    "reconcile": "ledger.reconcile.cli:reconcile",
    "witness": "ledger.witness_cli:witness",
    "faces": "facefare.faces:faces",
    "simulate": "facefare.simulate.cli:simulate_",
    "bench": "facefare.bench:bench",
}


class _Commands(click.Group):
    """A group whose commands are found by name: money commands load no face models."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=_Commands)
@click.version_option(package_name="facefare")
def facefare() -> None:
    """A face-recognition transit pass: gates, enrollment and a ledger you can verify."""


def main() -> None:
    """Run the command; an error that has a sentence prints the sentence and exits with 1."""
    try:
        facefare(prog_name="facefare")
    except FacefareError as error:
        click.echo(f"facefare: {error}", err=True)
        sys.exit(1)
