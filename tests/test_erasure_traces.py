"""After an erasure no trace is left: every file of server, backups, gate and log is read.

A rider with a name, a guardian, four digits, a PIN and a guess at it, a start code, a pass, a
template from a real photograph and a look of staff with a note; then the bytes of all of them are
looked for. Where a file is sealed, it is opened with its owner's key first. The scan is tried out
before the erasure, so that one that looks in the wrong place fails.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlmodel import select
from werkzeug.test import encode_multipart

from bench.loopback import Loopback
from enrollment.gallery import data_key_name, open_template
from enrollment.start_codes import new_start_code
from enrollment.store import Enrollment
from facefare.backup import back_up
from gate import sync
from gate.client import Client, provision
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from models.access.gates import add_gate
from models.database import reading
from models.faces.quantise import quantise
from models.tables.riders import Rider, Template
from models.wire.keys import base64url, raw_public
from tests.desk import FIRST, photo, uploads
from tests.riding import City, staff_browser

NAME, GUARDIAN, NOTE = "Zyxwvut Canary", "Qponmlk Guardian", "Kestrel asked about the gate"
DIGITS, PIN = "8351", "604172"


@dataclass
class Gate:
    """A provisioned gate with its own folder, and its way to the server."""

    identity: GateIdentity
    client: Client

    def sync(self, have: int) -> int:
        snapshot = sync.fetch_gallery(self.identity, self.client, have)
        return have if snapshot is None else snapshot.version

    def opened(self) -> bytes:
        """All that this gate can read in its own cache."""
        kept = sync.kept_gallery(self.identity)
        return b"" if kept is None else kept.model_dump_json().encode() + b"".join(
            rider.template for rider in kept.riders
        )  # fmt: skip


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    made.app.config["WTF_CSRF_ENABLED"] = False
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Everything that the program says in its log, down to the finest, in a file."""
    path = tmp_path / "server.log"
    handler = logging.FileHandler(path)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield path
    root.setLevel(level)
    root.removeHandler(handler)
    handler.close()


@pytest.fixture
def gate(city: City, tmp_path: Path) -> Iterator[Gate]:
    server = Loopback(city.app)
    code = add_gate(city.enrollment.access, "south-1", "south", "in", city.clock())
    directory = tmp_path / "gate"
    keys = make_keys(directory)
    public = (base64url(raw_public(key.public_key())) for key in keys)
    told = provision(server.address, code, *public)
    save_identity(
        directory,
        GateFile(
            gate=told.gate, station=told.station, direction=told.direction, server=server.address,
            enrollment_key=told.enrollment_key.x,
        ),
    )  # fmt: skip
    identity = load_identity(directory)
    client = Client(server.address, identity.file.gate, identity.signing_key)
    yield Gate(identity, client)
    client.close()
    server.close()


def watermarked() -> tuple[bytes, bytes]:
    """A real photograph as PNG, and a run of its bytes that nothing else has."""
    out = io.BytesIO()
    Image.open(io.BytesIO(photo(FIRST))).save(out, "PNG")
    data = out.getvalue()
    middle = len(data) // 2
    return data, data[middle : middle + 48]


def enroll(city: City) -> tuple[Rider, bytes]:
    """Through the form, with everything a rider may give; the rider, and bytes of the photo."""
    data, mark = watermarked()
    given = {
        "name": NAME, "category": "adult", "language": "en", "age_group": "under-14",
        "guardian": GUARDIAN, "phone_digits": DIGITS, "pin": PIN, "pin_again": PIN,
        "stations": ["south"], "consent_text": "en-2", "consent_given": "yes",
        "photos": uploads([data]),
    }  # fmt: skip
    boundary, body = encode_multipart(given)
    kind = f'multipart/form-data; boundary="{boundary}"'
    browser = staff_browser(city, "enroller")
    answer = browser.post("/enrollment/new", data=body, content_type=kind)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    record = answer.location
    browser.post(f"{record}/open", data={"reason": "other", "note": NOTE})
    browser.get(record)
    browser.post(f"{record}/pass", data={"replaces": ""})
    with reading(city.enrollment.riders) as session:
        rider = session.exec(select(Rider).where(Rider.name == NAME)).one()
        session.expunge(rider)
    new_start_code(city.enrollment, rider.rider_id, city.clock())
    return rider, mark


def traces_of(enrollment: Enrollment, rider: Rider, photo_mark: bytes) -> dict[str, bytes]:
    """What is looked for, in the forms in which it could lie somewhere."""
    with reading(enrollment.riders) as session:
        kept = session.exec(select(Template).where(Template.rider_id == rider.rider_id)).one()
        sealed = kept.sealed
    key = enrollment.vault.key(data_key_name(rider.rider_id))
    plain = open_template(key, sealed, rider.account_id, enrollment.engine_id)
    vector = np.frombuffer(plain, "<f4").astype(np.float32)
    return {
        "name": NAME.encode(),
        "guardian": GUARDIAN.encode(),
        "note": NOTE.encode(),
        "reference": rider.rider_id.encode(),
        "account": rider.account_id.encode(),
        "photo": photo_mark,
        "template": plain[64:96],
        "template in base64": base64.b64encode(plain)[96:128],
        "template as a pass carries it": quantise(vector.reshape(1, -1)).tobytes()[16:40],
        "sealed template": sealed[40:72],
        "data key": key[:24],
        "PIN": PIN.encode(),
    }


def found(traces: dict[str, bytes], folder: Path, **more: bytes) -> dict[str, set[str]]:
    """Which traces are in which files below ``folder``, and in what else was given."""
    contents = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    seen = {
        place: {name for name, trace in traces.items() if trace in data}
        for place, data in {**contents, **more}.items()
    }
    return {place: names for place, names in seen.items() if names}


def test_nothing_of_an_erased_rider_is_left_anywhere(
    city: City, gate: Gate, log: Path, tmp_path: Path
) -> None:
    rider, mark = enroll(city)
    version = gate.sync(-1)
    city.pay(rider)
    city.ride(rider)
    city.sign_log()
    city.browser().post("/me/sign-in", data={"pass": rider.rider_id, "pin": "111222"})
    traces = traces_of(city.enrollment, rider, mark)

    before = found(traces, tmp_path, opened=gate.opened())
    here = set().union(*before.values())
    assert {"name", "guardian", "note", "reference", "account", "sealed template"} <= here
    assert {"account", "template"} <= before["opened"]
    assert not here & {"photo", "data key", "PIN"}, "these never lie anywhere in the clear"
    assert all("template" not in names for place, names in before.items() if place != "opened")
    assert any(place.startswith("data/access.") for place in before), "the guess is counted"
    wal = [place for place in before if place.endswith("-wal")]
    assert wal, "the scan looks into the write-ahead logs"

    browser = staff_browser(city, "admin")
    record = f"/enrollment/riders/{rider.rider_id}"
    browser.post(f"{record}/open", data={"reason": "erasure", "note": NOTE})
    assert browser.post(f"{record}/erase").status_code == 303
    assert gate.sync(version) > version
    back_up(city.data, tmp_path / "backup")
    back_up(city.data, tmp_path / "backup-keys", keys=True)

    assert found(traces, tmp_path, opened=gate.opened()) == {}
    read = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    for place in (
        r"data/riders\.sqlite", r"data/riders\.sqlite-wal", r"data/fares\.sqlite",
        r"data/access\.sqlite", r"data/vault/data-keys\.sqlite", r"backup/riders\.sqlite",
        r"backup/fares\.sqlite", r"backup-keys/vault/data-keys\.sqlite", r"gate/.*sealed",
        r"server\.log",
    ):  # fmt: skip
        assert any(re.fullmatch(place, name) for name in read), f"{place} was not read"


def test_a_backup_from_before_is_noise_without_the_data_key(city: City, tmp_path: Path) -> None:
    """Its name and account still lie there; what was sealed opens for nobody."""
    rider, mark = enroll(city)
    traces = traces_of(city.enrollment, rider, mark)
    back_up(city.data, tmp_path / "old")
    record = f"/enrollment/riders/{rider.rider_id}"
    browser = staff_browser(city, "admin")
    browser.post(f"{record}/open", data={"reason": "erasure", "note": ""})
    browser.post(f"{record}/erase")
    back_up(city.data, tmp_path / "now-keys", keys=True)
    old = found(traces, tmp_path / "old")
    assert set().union(*old.values()) == {
        "name", "guardian", "note", "reference", "account", "sealed template",
    }  # fmt: skip
    assert found({"data key": traces["data key"]}, tmp_path / "now-keys") == {}
    assert data_key_name(rider.rider_id).encode() not in b"".join(
        file.read_bytes() for file in (tmp_path / "now-keys").rglob("*") if file.is_file()
    )
