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

models_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("face-models"),
    envvar="FACEFARE_MODELS",
    show_default=True,
    help="The folder for weights of models and your own model cards.",
)
