"""The ``facefare gate`` commands."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from gate import client, run
from gate.identity import (
    GateFile,
    GateIdentity,
    load_identity,
    make_keys,
    safe_server,
    save_identity,
)
from gate.outbox import Outbox
from models.wire.keys import base64url, raw_public

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("gate-data"),
    envvar="FACEFARE_GATE",
    show_default=True,
    help="The gate's own directory.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON line.")
_liveness = click.option(
    "--liveness",
    type=click.Choice(["off"]),
    required=True,
    help="'off': no check that the face is a living one; a photograph would open the door.",
)


@click.group()
def gate() -> None:
    """The program at the turnstile."""


@gate.command()
@click.option("--server", required=True, help="Address of the server, such as http://HOST:8420.")
@click.option("--code", required=True, help="The one-time code from 'facefare gates add'.")
@_directory
@_json
def provision(server: str, code: str, directory: Path, as_json: bool) -> None:
    """Make this gate's keys and make them known to the server."""
    server = safe_server(server)
    signing_key, box_key = make_keys(directory)
    answer = client.provision(
        server,
        code,
        base64url(raw_public(signing_key.public_key())),
        base64url(raw_public(box_key.public_key())),
    )
    file = GateFile(
        gate=answer.gate,
        station=answer.station,
        direction=answer.direction,
        server=server,
        enrollment_key=answer.enrollment_key.x,
    )
    save_identity(directory, file)
    if as_json:
        click.echo(json.dumps({"gate": file.gate, "station": file.station}))
    else:
        click.echo(f"This is now gate {file.gate} at station {file.station}.")


@gate.command()
@click.argument("clip", type=click.Path(path_type=Path))
@_directory
@_liveness
@click.option(
    "--drain-s",
    default=10.0,
    show_default=True,
    help="How long to wait at the end for the ledger to answer for every tap.",
)
@click.option("--from-s", default=0.0, help="Begin at this second of the clip.")
@click.option("--to-s", default=float("inf"), help="End before this second of the clip.")
@_json
def replay(
    clip: Path,
    directory: Path,
    liveness: str,
    drain_s: float,
    from_s: float,
    to_s: float,
    as_json: bool,
) -> None:
    """Run the gate on a recorded CLIP or a folder of pictures."""
    _announce(liveness)
    identity = load_identity(directory)
    _finish(run.replay(identity, clip, sys.stderr, drain_s, from_s, to_s), as_json)


@gate.command("run")
@click.option("--camera", required=True, help="Device number, or an rtsp:// or http:// address.")
@_directory
@_liveness
@_json
def run_(camera: str, directory: Path, liveness: str, as_json: bool) -> None:
    """Run the gate on a live camera until Ctrl-C."""
    _announce(liveness)
    _finish(run.watch(load_identity(directory), camera, sys.stderr), as_json)


@gate.command()
@_directory
@_json
def status(directory: Path, as_json: bool) -> None:
    """Show who this gate is and what waits in its outbox."""
    identity: GateIdentity = load_identity(directory)
    counts = Outbox(identity.outbox_path).counts()
    facts = {**identity.file.model_dump(exclude={"enrollment_key"}), **asdict(counts)}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name:10} {value}")


def _announce(liveness: str) -> None:
    click.echo(
        f"gate: liveness is {liveness}: a photograph held to the camera would open this gate",
        err=True,
    )


def _finish(summary: run.Summary, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        for name, value in asdict(summary).items():
            click.echo(f"{name:10} {value}")
