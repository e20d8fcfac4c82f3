"""A block and its lifting reach a connected gate within seconds, over loopback."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask

from bench.loopback import Loopback
from gate import client as gate_client
from gate import sync
from gate.client import Client
from gate.clock import GateClock
from gate.faults import Fault, FaultBoard
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.recognition import Measured
from gate.refresh import Refresh
from gate.sight import Knowledge
from ledger.app import create_blueprints
from ledger.standings import block, lift
from models.access.gates import GateRegister, add_gate, provision_gate
from models.database import open_sqlite
from models.faces.operating_points import FORMAT, Table
from models.tables.access import AccessTable
from models.wire.keys import base64url, raw_public
from tests.galleries import ENGINE, cohort
from tests.town import Town, make_town


@dataclass
class Connected:
    """A ledger that is really served, and a gate that is known there."""

    town: Town
    identity: GateIdentity
    client: Client


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Connected]:
    town = make_town(tmp_path / "data")
    access = open_sqlite(town.data.access_db, AccessTable.metadata)
    code = add_gate(access, "south-1", "south", "in", datetime.now(UTC))
    keys = make_keys(tmp_path / "gate")
    signing, box = (raw_public(key.public_key()) for key in keys)
    provision_gate(access, code, signing, box, datetime.now(UTC))
    app = Flask(__name__)
    for blueprint in create_blueprints(town.ledger, GateRegister(access)):
        app.register_blueprint(blueprint)
    server = Loopback(app)
    file = GateFile(
        gate="south-1", station="south", direction="in",
        server=server.address,
        enrollment_key=base64url(raw_public(Ed25519PrivateKey.generate().public_key())),
    )  # fmt: skip
    save_identity(tmp_path / "gate", file)
    identity = load_identity(tmp_path / "gate")
    client = Client(file.server, file.gate, identity.signing_key)
    yield Connected(town, identity, client)
    client.close()
    server.close()
    access.dispose()


def within(seconds: float, true: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} seconds"
        time.sleep(0.02)


def test_a_block_is_at_a_waiting_gate_within_seconds_also_while_there_is_no_gallery(
    gate: Connected,
) -> None:
    account, knowledge, faults = gate.town.account(), Knowledge(), FaultBoard()
    measured = Measured(ENGINE, Table(format=FORMAT, measured={}, points=(), claims=()), cohort())
    refresh = Refresh(
        gate.identity, gate.client, knowledge, measured, GateClock(), faults, io.StringIO()
    )
    refresh.start()
    try:
        within(10, lambda: knowledge.blocked == {})
        time.sleep(1.5)  # by now it waits for news
        block(gate.town.ledger, account, "lost", "by telephone", "fang")
        within(4, lambda: knowledge.blocked == {account: "lost"})
        assert sync.kept_blocked(gate.identity) == {account: "lost"}
        lift(gate.town.ledger, account, "found", "fang", {"service"})
        within(4, lambda: knowledge.blocked == {})
        assert Fault.GALLERY in faults.standing(), "this server has no gallery"
    finally:
        gate.client.close()
        refresh.stop()


def test_a_gate_that_is_not_let_wait_comes_back_after_a_while(
    gate: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_client, "NEWS_PAUSE_S", 0.6)
    places = threading.Semaphore(0)
    monkeypatch.setattr("ledger.standings.threading.Semaphore", lambda count: places)
    fresh = Flask(__name__)
    access = open_sqlite(gate.town.data.access_db, AccessTable.metadata)
    for blueprint in create_blueprints(gate.town.ledger, GateRegister(access)):
        fresh.register_blueprint(blueprint)
    server = Loopback(fresh)
    client = Client(server.address, "south-1", gate.identity.signing_key)
    try:
        assert sync.fetch_news_of_blocked(gate.identity, client) == {}
        began_s = time.monotonic()
        assert sync.fetch_news_of_blocked(gate.identity, client) == {}
        assert 0.6 <= time.monotonic() - began_s < 10
    finally:
        client.close()
        server.close()
        access.dispose()
