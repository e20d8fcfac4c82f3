"""The command ``facefare access``: the log of who looked at riders."""

from __future__ import annotations

import json
from pathlib import Path

import click

from enrollment.access_log import AccessLog
from enrollment.access_verify import verify_access_log
from enrollment.store import open_vault
from models.database import open_sqlite
from models.kept import CheckpointFile
from models.log.notes import verifier_key
from models.options import data_option
from models.settings import DataDirectory
from models.tables.riders import RidersTable


@click.group()
def access() -> None:
    """The log of who looked at riders."""


@access.command("verify")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A checkpoint that was kept elsewhere.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def verify(checkpoint: Path | None, as_json: bool, data: Path) -> None:
    """Rehash every entry and compare with the signed checkpoints."""
    outside = None if checkpoint is None else CheckpointFile(checkpoint).read()
    verified = verify_access_log(_log(DataDirectory(data)), outside)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "verify": "ok",
                    "entries": verified.entries,
                    "root": verified.root.hex(),
                    "kept_size": verified.kept_size,
                    "checkpoint_size": verified.outside_size,
                }
            )
        )
        return
    click.echo(f"{verified.entries} entries verified; {verified.kept_size} of them are signed.")
    if outside is None:
        click.echo(
            "Compared with this machine's own checkpoint only: give one that was kept elsewhere "
            "with --checkpoint to exclude that everything here was replaced."
        )


@access.command("checkpoint")
@data_option
def checkpoint(data: Path) -> None:
    """Print the newest signed checkpoint, to be kept elsewhere."""
    click.echo(CheckpointFile(DataDirectory(data).access_checkpoint_file).read(), nl=False)


@access.command("key")
@data_option
def key(data: Path) -> None:
    """Print the public key that checks the log's checkpoints."""
    log = _log(DataDirectory(data))
    click.echo(verifier_key(log.origin, log.key.public_key()))


def _log(data: DataDirectory) -> AccessLog:
    riders = open_sqlite(data.riders_db, RidersTable.metadata)
    return AccessLog.open(data, data.settings(), riders, open_vault(data))
