"""``facefare gate doctor``: try everything a gate needs, one line each with what to do.

It moves nothing: a door is asked whether it would take a command, not told to open. While
the gate's program runs, camera and door are its own, and the doctor asks it instead.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import click
import httpx

from gate.camera import Camera
from gate.client import Client
from gate.clock import GateClock
from gate.doors.choices import make_door
from gate.errors import (
    GateConfigError,
    GateRevoked,
    OutboxError,
    ServerRefused,
    ServerUnreachable,
)
from gate.frames import Mount
from gate.health import Check, Level, as_json, checks, look
from gate.identity import GateIdentity, load_identity
from gate.liveness.choices import CHOICES, chosen_check
from gate.monitor import alone
from gate.outbox import Outbox
from gate.recognition import Measured, make_matcher
from gate.sync import kept_gallery
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.options import models_option
from models.wire.times import parse_utc

CAMERA_S = 3.0
CAMERA_FPS_MIN = 8.0
LUMA_MIN, LUMA_MAX = 60.0, 200.0
DOOR_S = 5.0
GALLERY_OLD_DAYS = 6


def examine(identity: GateIdentity, camera: str | None, models: Path) -> Iterator[Check]:
    """Every check in turn; each takes a few seconds at most."""
    try:
        with alone(identity):
            yield tried("camera", lambda: check_camera(identity, camera))
            yield tried("door", lambda: check_door(identity))
    except GateConfigError:
        yield running_program(identity)
    yield from check_server(identity, GateClock())
    yield tried("outbox file", lambda: check_outbox_file(identity.outbox_path))
    yield tried("gallery", lambda: check_gallery(identity))
    yield tried("threshold", lambda: check_operating_point(identity))
    yield tried("liveness", lambda: check_liveness(identity, models))
    try:
        facts = look(identity, Outbox(identity.outbox_path), datetime.now(UTC), {})
    except OutboxError as error:
        yield Check("outbox", Level.BAD, str(error), "no door opens before it can be written")
    else:
        yield from checks(facts)


def tried(name: str, check: Callable[[], Check]) -> Check:
    """The check, or the error that kept it from being made: that is what is wrong then."""
    try:
        return check()
    except FacefareError as error:
        return Check(name, Level.BAD, str(error))


def check_camera(identity: GateIdentity, source: str | None) -> Check:
    """Whether it gives pictures, how many a second, and how bright."""
    settings = identity.file.camera
    mount = Mount(settings.rotation, settings.region)
    camera = Camera(source or settings.source, mount)
    camera.start()
    try:
        lumas, fps = _watch(camera)
    finally:
        camera.stop()
    if not lumas:
        return Check(
            "camera",
            Level.BAD,
            f"{camera.name} gives no usable picture ({camera.fault or 'unplugged'})",
            "check its cable and power, camera.source, and that no other program uses it",
        )
    luma = sum(lumas) / len(lumas)
    says = f"{fps:.0f} pictures a second, brightness {luma:.0f} of 255"
    if fps < CAMERA_FPS_MIN:
        return Check("camera", Level.WARN, says, "more light, a smaller picture or another port")
    if not LUMA_MIN <= luma <= LUMA_MAX:
        more = "more light on the faces" if luma < LUMA_MIN else "less light, or shade the lens"
        return Check("camera", Level.WARN, says, more)
    return Check("camera", Level.OK, says)


def _watch(camera: Camera) -> tuple[list[float], float]:
    """The brightness of each picture, and pictures a second from the first one on."""
    lumas: list[float] = []
    first_s = last_s = 0.0
    until_s = time.monotonic() + 2 * CAMERA_S  # a camera may take a while to wake
    while time.monotonic() < until_s and (not lumas or last_s - first_s < CAMERA_S):
        timed = camera.next(0.5)
        if timed is not None:
            first_s = first_s if lumas else timed.at_s
            last_s = timed.at_s
            lumas.append(float(timed.frame[::8, ::8].mean()))
    fps = (len(lumas) - 1) / (last_s - first_s) if last_s > first_s else 0.0
    return lumas, fps


def check_door(identity: GateIdentity) -> Check:
    """Whether it would take a command."""
    settings = identity.file.door
    door = make_door(settings, identity.door_secret_path, StringIO(), lambda event, detail: None)
    door.start()
    try:
        until = time.monotonic() + DOOR_S
        while door.fault and time.monotonic() < until:
            time.sleep(0.05)
        if door.fault:
            return Check("door", Level.BAD, door.fault)
    finally:
        door.stop()
    fails = "open" if settings.fail_open else "shut"
    if settings.driver == "console":
        return Check("door", Level.WARN, "it is only printed", "set door.driver in gate.toml")
    return Check("door", Level.OK, f"{settings.driver}; without power or program it is {fails}")


def running_program(identity: GateIdentity) -> Check:
    """What the gate's running program says of camera and door."""
    port = identity.file.kiosk.port
    if not port:
        return Check(
            "program",
            Level.OK,
            "it runs",
            "stop it to have camera and door tried, or set kiosk.port",
        )
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json()
    except (httpx.HTTPError, ValueError) as error:
        return Check("program", Level.BAD, f"it runs but does not answer ({error})", "restart it")
    wrong = [check["says"] for check in answer["checks"] if check["level"] == Level.BAD]
    if wrong:
        return Check("program", Level.BAD, f"it runs, and says: {'; '.join(wrong)}")
    return Check("program", Level.OK, "it runs and is well")


def check_server(identity: GateIdentity, clock: GateClock) -> Iterator[Check]:
    """The network, the keys, and the clock, from one question to the server."""
    file = identity.file
    client = Client(file.server, file.gate, identity.signing_key, clock=clock, learn=clock.learn)
    began = time.monotonic()
    try:
        client.blocked_accounts()
    except GateRevoked as error:
        yield Check(
            "keys", Level.BAD, str(error), "provision this gate anew, or ask who revoked it"
        )
    except (ServerUnreachable, ServerRefused) as error:
        yield Check("network", Level.BAD, str(error), "check cable, address and the server itself")
        return
    else:
        ms = (time.monotonic() - began) * 1000
        yield Check("network", Level.OK, f"{file.server} answers in {ms:.0f} ms")
        yield Check("keys", Level.OK, f"the server knows the keys of {file.gate}")
    finally:
        client.close()
    yield (
        Check("clock", Level.BAD, clock.problem)
        if clock.problem
        else Check("clock", Level.OK, "it agrees with the server's")
    )


def check_outbox_file(path: Path) -> Check:
    """Whether SQLite finds the file whole."""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            (found,) = connection.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found == "ok":
        return Check("outbox file", Level.OK, "it is whole")
    return Check(
        "outbox file",
        Level.BAD,
        f"{path} is damaged ({found})",
        "stop the gate, keep a copy for finance, and move the file away; taps in it are lost else",
    )


def check_gallery(identity: GateIdentity) -> Check:
    """Whether there is one that can be opened, of this engine, and young enough."""
    snapshot = kept_gallery(identity)
    if snapshot is None:
        return Check("gallery", Level.BAD, "there is none that opens", "connect to the server")
    age = datetime.now(UTC) - parse_utc(snapshot.issued_at)
    says = f"version {snapshot.version}, {len(snapshot.riders)} riders, {snapshot.engine_id}"
    if snapshot.engine_id != DlibEngine.engine_id:
        return Check("gallery", Level.BAD, says, f"this gate runs {DlibEngine.engine_id}")
    if age.days >= GALLERY_OLD_DAYS:
        return Check(
            "gallery", Level.WARN, f"{says}, {age.days} days old", "connect to the server soon"
        )
    return Check("gallery", Level.OK, says)


def check_operating_point(identity: GateIdentity) -> Check:
    """Whether a threshold was measured for this engine and gallery; without one: no charging."""
    snapshot = kept_gallery(identity)
    if snapshot is None:
        return Check("threshold", Level.WARN, "not known without a gallery", "see gallery above")
    measured = Measured.of(DlibEngine.engine_id, identity.table_path)
    point = make_matcher(snapshot, measured).point
    source = "the operator's own" if identity.table_path.exists() else "the shipped table's"
    return Check(
        "threshold",
        Level.OK,
        f"{point.threshold:.3f} for up to {point.gallery_size} riders, {source}",
    )


def check_liveness(identity: GateIdentity, models: Path) -> Check:
    """Whether the check that was chosen can be made."""
    choice = identity.file.policy.liveness
    chosen_check(choice, models, identity.liveness_path)
    if choice == "off":
        return Check("liveness", Level.WARN, CHOICES["off"], "set policy.liveness in gate.toml")
    tuned = "this camera's thresholds" if identity.liveness_path.exists() else "common thresholds"
    return Check("liveness", Level.OK, f"{choice}, with {tuned}")


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("gate-data"),
    envvar="FACEFARE_GATE",
    show_default=True,
    help="The gate's own directory.",
)
@click.option("--camera", help="Try this camera instead of camera.source.")
@models_option
@click.option("--json", "as_json_", is_flag=True, help="Print the result as one JSON line.")
def doctor(directory: Path, camera: str | None, models: Path, as_json_: bool) -> None:
    """Try camera, clock, disk, door, network, keys, gallery and liveness; exit 1 if one is bad."""
    identity = load_identity(directory)
    found = []
    for check in examine(identity, camera, models):
        found.append(check)
        if not as_json_:
            click.echo(check.line())
    result = as_json(tuple(found))
    if as_json_:
        click.echo(json.dumps(result))
    if not result["ok"]:
        raise SystemExit(1)
