"""Command-line options that several programs share."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("data"),
    envvar="FACEFARE_DATA",
    show_default=True,
    help="The operator's data directory.",
)
