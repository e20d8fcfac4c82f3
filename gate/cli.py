"""The ``facefare gate`` commands."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gate import client, run
from gate.clips import recorded
from gate.doctor import doctor
from gate.eyes import load_engine, load_eyes
from gate.health import checks, look
from gate.identity import (
    GateFile,
    GateIdentity,
    load_identity,
    make_keys,
    safe_server,
    save_identity,
)
from gate.liveness.choices import CHOICES, chosen_check
from gate.liveness.measuring import Calibration, History, calibrated, follow, judged
from gate.liveness.rigid import Rigidity
from gate.liveness.thresholds import load_threshold, save_threshold
from gate.logs import set_up as set_up_logs
from gate.outbox import Outbox
from gate.release import release_command
from models.errors import FacefareError
from models.faces.liveness_pair import LivenessPair
from models.options import models_option
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
    type=click.Choice(list(CHOICES)),
    help="Overrule policy.liveness of gate.toml. "
    + " ".join(f"'{choice}': {words}." for choice, words in CHOICES.items()),
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
@models_option
@click.option("--realtime", is_flag=True, help="Play the clip as a camera: what is late is lost.")
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
    liveness: str | None,
    models: Path,
    realtime: bool,
    drain_s: float,
    from_s: float,
    to_s: float,
    as_json: bool,
) -> None:
    """Run the gate on a recorded CLIP or a folder of pictures."""
    identity = load_identity(directory)
    _announce(identity, liveness)
    eyes = load_eyes(identity, liveness, models)
    _finish(run.replay(identity, clip, sys.stderr, drain_s, from_s, to_s, eyes, realtime), as_json)


@gate.command("run")
@click.option("--camera", help="Device number, or an rtsp:// or http:// address.")
@_directory
@_liveness
@models_option
@_json
def run_(
    camera: str | None, directory: Path, liveness: str | None, models: Path, as_json: bool
) -> None:
    """Run the gate on a live camera until Ctrl-C; --camera overrules camera.source of gate.toml."""
    set_up_logs(sys.stderr)
    identity = load_identity(directory)
    _announce(identity, liveness)
    summary = run.watch(
        identity,
        camera or identity.file.camera.source,
        sys.stderr,
        lambda: load_eyes(identity, liveness, models),
    )
    if summary is not None:
        _finish(summary, as_json)


@gate.command("calibrate-liveness")
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A clip of prints and screens held before this camera; may be given several times.",
)
@_directory
@models_option
@_json
def calibrate_liveness(
    clips: tuple[Path, ...],
    pictures: tuple[Path, ...],
    directory: Path,
    models: Path,
    as_json: bool,
) -> None:
    """Set this camera's liveness thresholds from CLIPS of living riders who walk up to it."""
    identity = load_identity(directory)
    found = calibrated(_histories(identity, clips, models), _histories(identity, pictures, models))
    save_threshold(found.threshold, identity.liveness_path)
    facts = {**asdict(found), "file": str(identity.liveness_path)}
    click.echo(json.dumps(facts) if as_json else _in_words(found, identity.liveness_path))


def _histories(identity: GateIdentity, clips: tuple[Path, ...], models: Path) -> list[History]:
    """What every rider's face in the clips reached, with the checks that this gate runs."""
    if not clips:
        return []
    choice = identity.file.policy.liveness
    pair = LivenessPair.load(models) if choice in ("full", "pair") else None
    rigidity, engine, mount = Rigidity(), load_engine(), run.mount_of(identity)
    histories: list[History] = []
    for clip in clips:
        frames = recorded(clip, mount)
        histories += follow(frames, engine, pair, rigidity, identity.file.face_share_min)
    return judged(histories)


def _in_words(found: Calibration, path: Path) -> str:
    threshold = found.threshold
    pictures = (
        f"{found.opened} of {found.pictures} pictures would open."
        if found.opened is not None
        else "How many pictures would open is not known from living riders; record some and give "
        "them with --pictures."
    )
    return (
        f"{found.riders} living riders; of them {found.asked} would be asked for the pass, each "
        f"judged by the others' thresholds. {pictures}\n"
        f"Wrote pair {threshold.pair_min}, stirring {threshold.stirring_min} to {path}; the gate "
        "uses them from its next start."
    )


@gate.command()
@_directory
@models_option
@_json
def status(directory: Path, models: Path, as_json: bool) -> None:
    """Show who this gate is, what waits in its outbox, and how far a face is trusted."""
    identity = load_identity(directory)
    facts = _facts(identity, models)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else name:15} {line}")


def _facts(identity: GateIdentity, models: Path) -> dict[str, Any]:
    file, choice = identity.file, identity.file.policy.liveness
    outbox = Outbox(identity.outbox_path)
    named = ("gate", "station", "direction", "server", "zone", "face_share_min")
    return {
        **{name: getattr(file, name) for name in named},
        **asdict(outbox.counts()),
        "liveness": f"{choice}: {CHOICES[choice]}",
        "liveness_state": _liveness_state(identity, choice, models),
        "thresholds": asdict(load_threshold(identity.liveness_path)),
        "limits": list(file.policy.limits().lines()),
        "health": [check.line() for check in checks(look(identity, outbox, datetime.now(UTC), {}))],
    }


def _liveness_state(identity: GateIdentity, choice: str, models: Path) -> str:
    try:
        chosen_check(choice, models, identity.liveness_path)
    except FacefareError as error:
        return str(error)
    return "ready" if choice != "off" else "off"


def _announce(identity: GateIdentity, liveness: str | None) -> None:
    choice = liveness or identity.file.policy.liveness
    click.echo(f"gate: liveness is {choice}: {CHOICES[choice]}", err=True)


def _finish(summary: run.Summary, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        for name, value in asdict(summary).items():
            click.echo(f"{name:10} {value}")


gate.add_command(doctor)
gate.add_command(release_command)
