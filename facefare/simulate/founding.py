"""Found a city: data directory, feed, riders and gates, as they are when every story begins.

Cities of one size begin alike, so the first of a process is made and the others are copies:
making keys and tables takes longer than living a day. What is copied holds no entry yet.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import numpy as np
from sqlalchemy import Engine

import ledger.feeds
from enrollment.gallery import data_key_name, move_gallery_version, seal_template
from enrollment.store import Enrollment, signing_key_file
from facefare.server import create_app
from facefare.setup import make_data
from facefare.simulate.chance import seeded
from facefare.simulate.feed import (
    CURRENCY,
    SPRING,
    SPRING_FROM,
    STATIONS,
    feed_files,
    place_of,
)
from facefare.simulate.truth import Rider
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from ledger.ledger import Ledger
from ledger.processors.keeping import keep_card
from ledger.processors.protocol import Card
from ledger.reconcile.drawer import open_drawer
from models.access.gates import add_gate, provision_gate
from models.database import writing
from models.faces.dlib_engine import DlibEngine
from models.money import Money
from models.settings import DataDirectory
from models.tables.riders import Consent, RiderStation, Template
from models.tables.riders import Rider as RiderRow
from models.wire.keys import base64url, load_signing_key, raw_public

START = datetime(2026, 3, 28, 18, 0, tzinfo=UTC)  # the night in which European clocks change
ORIGIN = "fares.example/city"
SERVER = "https://city.example"
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory: nothing of a city has to last
PROCESSOR = "pretend"
CLERK = "ada"  # at the desk, with an open drawer
CHILD_EVERY = 4  # of so many riders one is a child


@dataclass(frozen=True, slots=True)
class Founded:
    """A city's folder before anything has happened in it."""

    path: Path
    riders: tuple[Rider, ...]
    gates: tuple[str, ...]


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when nobody holds it any more; in memory where there is such a place."""
    folder = MEMORY if MEMORY.is_dir() else None
    return tempfile.TemporaryDirectory(prefix="facefare-city-", dir=folder)


def found(path: Path, riders: int, gates: int) -> Founded:
    """Found a city of this size in ``path``, which is new."""
    with seeded(f"{riders} riders, {gates} gates"):
        _, made = _first(riders, gates)
    shutil.copytree(made.path, path, dirs_exist_ok=True)
    return replace(made, path=path, riders=tuple(replace(rider) for rider in made.riders))


@lru_cache(maxsize=4)
def _first(riders: int, gates: int) -> tuple[tempfile.TemporaryDirectory[str], Founded]:
    """The one that the others are copies of, with its folder, which goes with the process."""
    folder = scratch()
    path = Path(folder.name)
    data = DataDirectory(path / "data")
    make_data(data, "City", ORIGIN)
    _adapt_settings(data)
    app = create_app(data, clock=lambda: START)
    here: Ledger = app.extensions["ledger"]
    enrollment: Enrollment = app.extensions["enrollment"]
    ledger.feeds.activate(here.engine, feed_files(SPRING), SPRING_FROM, CURRENCY, "finance", START)
    open_drawer(here, str(UUID(int=0)), Money(0, CURRENCY), CLERK)
    people = tuple(_enroll(here, enrollment, number) for number in range(riders))
    names = tuple(f"gate-{number}" for number in range(gates))
    for number, name in enumerate(names):
        set_up_gate(path / name, name, number, data, enrollment.access, lambda: START)
    for engine in (here.engine, enrollment.riders, enrollment.access):
        engine.dispose()
    return folder, Founded(path, people, names)


def _adapt_settings(data: DataDirectory) -> None:
    """The currency of the feed and the stations of the gates."""
    before, _, after = data.settings_file.read_text(encoding="utf-8").partition("[stations]\n")
    stations = "".join(f'{name} = "{name.title()}"\n' for name in STATIONS)
    text = before.replace('"CNY"', f'"{CURRENCY}"') + "[stations]\n" + stations
    rest = after.partition("\n\n")[2]
    data.settings_file.write_text(f"{text}\n{rest}", encoding="utf-8")


def _enroll(here: Ledger, enrollment: Enrollment, number: int) -> Rider:
    """A rider with a made-up template and a card; photographs have tests of their own."""
    category = "child" if number % CHILD_EVERY == CHILD_EVERY - 1 else "adult"
    account = hashlib.sha256(f"rider {number}".encode()).hexdigest()[:32]
    rider = Rider(number, f"R{number:05}", account, f"Canary Name {number}", category)
    enrollment.open_account(rider.account, category)
    card = Card(rider.customer, f"pm_{number}", "visa", "4242", 12, 2030)
    keep_card(here, rider.account, PROCESSOR, card)
    key = enrollment.vault.create(data_key_name(rider.rider_id))
    vector = np.zeros(DlibEngine.dimensions, np.float32)
    vector[number % DlibEngine.dimensions] = 1.0
    with writing(enrollment.riders) as session:
        session.add(
            RiderRow(
                rider_id=rider.rider_id,
                account_id=rider.account,
                name=rider.name,
                category=category,
                language="en",
                medium="face",
                status="active",
                created_at=START,
            )
        )
        session.flush()
        session.add(
            Consent(
                rider_id=rider.rider_id,
                text_id="en-1",
                text_sha256="0" * 64,
                language="en",
                given_at=START,
                staff=CLERK,
            )
        )
        session.add(
            Template(
                rider_id=rider.rider_id,
                engine_id=DlibEngine.engine_id,
                sealed=seal_template(key, vector, rider.account, DlibEngine.engine_id),
                images=3,
                created_at=START,
                quality_note="",
            )
        )
        session.add_all(RiderStation(rider_id=rider.rider_id, station=name) for name in STATIONS)
        move_gallery_version(session)
    return rider


def set_up_gate(
    directory: Path,
    name: str,
    number: int,
    data: DataDirectory,
    access: Engine,
    clock: Callable[[], datetime],
) -> GateIdentity:
    """Set up a gate at the place of ``number`` through the register, with its own keys."""
    place = place_of(number)
    code = add_gate(access, name, place.station, place.direction, clock())
    signing_key, box_key = make_keys(directory)
    keys = raw_public(signing_key.public_key()), raw_public(box_key.public_key())
    provision_gate(access, code, *keys, clock())
    enrollment_key = load_signing_key(signing_key_file(data)).public_key()
    file = GateFile(
        gate=name,
        station=place.station,
        direction=place.direction,
        server=SERVER,
        enrollment_key=base64url(raw_public(enrollment_key)),
    )
    save_identity(directory, file)
    return load_identity(directory)
