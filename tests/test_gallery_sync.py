"""A gate and its gallery: whole, then changes, kept on disk, and news within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from bench.loopback import Loopback
from enrollment.erase import erase_rider
from enrollment.freeze import freeze_rider
from enrollment.passes import issue_pass
from gate import client as gate_client
from gate import sync
from gate.client import Client, provision
from gate.errors import GateRevoked, ServerRefused
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from models.access.gates import add_gate, revoke_gate
from models.wire.keys import base64url, raw_public
from tests.desk import Desk
from tests.pass_riders import put_rider, unit


@dataclass
class Connected:
    """A desk that is really served, and a gate that is provisioned there."""

    desk: Desk
    identity: GateIdentity
    client: Client

    @property
    def change_file(self) -> Path:
        return self.identity.gallery_path.with_name("gallery-change.sealed")

    def fetch(self, have: int) -> int | None:
        snapshot = sync.fetch_gallery(self.identity, self.client, have)
        return None if snapshot is None else snapshot.version

    def kept(self) -> set[str]:
        snapshot = sync.kept_gallery(self.identity)
        assert snapshot is not None
        return {rider.account for rider in snapshot.riders}


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Connected]:
    desk = Desk(tmp_path)
    server = Loopback(desk.app)
    code = add_gate(desk.enrollment.access, "south-1", "south", "in", desk.now)
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
    yield Connected(desk, identity, client)
    client.close()
    server.close()
    desk.close()


def test_a_gate_keeps_the_whole_and_the_newest_change(gate: Connected) -> None:
    riders = [put_rider(gate.desk, unit(seed)) for seed in range(5)]
    assert gate.fetch(-1) == 5
    whole = gate.identity.gallery_path.read_bytes()
    riders.append(put_rider(gate.desk, unit(6)))
    assert gate.fetch(5) == 6
    freeze_rider(gate.desk.enrollment, riders.pop(0).rider_id, gate.desk.now)
    newest = gate.fetch(6)
    assert newest is not None
    assert gate.identity.gallery_path.read_bytes() == whole
    assert gate.change_file.stat().st_size < len(whole)
    assert gate.kept() == {rider.account_id for rider in riders}
    assert gate.fetch(newest) is None


def test_an_erased_rider_is_in_nothing_that_the_gate_can_open(gate: Connected) -> None:
    riders = [put_rider(gate.desk, unit(seed)) for seed in range(5)]
    gate.fetch(-1)
    put_rider(gate.desk, unit(6))
    gate.fetch(5)
    erase_rider(gate.desk.enrollment, riders[0].rider_id)
    gate.fetch(6)
    assert not gate.change_file.exists()
    assert riders[0].account_id not in gate.kept()  # the whole one, since there is no change


def test_a_change_that_does_not_fit_is_made_good_by_the_whole(gate: Connected) -> None:
    for seed in range(5):
        put_rider(gate.desk, unit(seed))
    gate.fetch(-1)
    put_rider(gate.desk, unit(6))
    data = gate.identity.gallery_path.read_bytes()
    gate.identity.gallery_path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert gate.fetch(5) == 6
    assert not gate.change_file.exists()
    assert len(gate.kept()) == 6


def test_a_damaged_change_leaves_no_gallery_to_be_used(gate: Connected) -> None:
    """Without it riders who are frozen would still be recognised."""
    riders = [put_rider(gate.desk, unit(seed)) for seed in range(5)]
    gate.fetch(-1)
    freeze_rider(gate.desk.enrollment, riders[0].rider_id, gate.desk.now)
    gate.fetch(5)
    gate.change_file.write_bytes(gate.change_file.read_bytes()[:-1])
    assert sync.kept_gallery(gate.identity) is None


def test_a_change_left_over_from_an_older_gallery_is_long_part_of_it(gate: Connected) -> None:
    for seed in range(5):
        put_rider(gate.desk, unit(seed))
    gate.fetch(-1)
    put_rider(gate.desk, unit(6))
    gate.fetch(5)
    change = gate.change_file.read_bytes()
    gate.fetch(-1)
    assert not gate.change_file.exists()
    gate.change_file.write_bytes(change)  # as if the power had failed before it was deleted
    assert len(gate.kept()) == 6


def test_a_gallery_that_is_forgotten_is_forgotten_with_its_change(gate: Connected) -> None:
    for seed in range(5):
        put_rider(gate.desk, unit(seed))
    gate.fetch(-1)
    put_rider(gate.desk, unit(6))
    gate.fetch(5)
    sync.forget_gallery(gate.identity)
    assert sync.kept_gallery(gate.identity) is None
    assert not gate.change_file.exists()


def test_a_revoked_pass_reaches_a_waiting_gate_within_seconds(gate: Connected) -> None:
    rider = put_rider(gate.desk, unit(1))
    lost = issue_pass(gate.desk.enrollment, rider.rider_id, "pass", gate.desk.now)
    version = gate.fetch(-1)
    assert version is not None
    assert gate.fetch(version) is None  # from now on the server holds its answer back
    heard = []

    def wait() -> None:
        snapshot = sync.fetch_gallery(gate.identity, gate.client, version)
        heard.append((time.monotonic(), snapshot))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.7)
    assert heard == []
    issue_pass(gate.desk.enrollment, rider.rider_id, "pass", gate.desk.now)
    told_at = time.monotonic()
    waiting.join(10)
    [(heard_at, snapshot)] = heard
    assert heard_at - told_at < 3
    assert snapshot is not None
    assert snapshot.passes is not None
    assert snapshot.passes.revoked == (lost.pass_id,)


def test_the_first_question_about_a_version_is_answered_at_once(gate: Connected) -> None:
    began = time.monotonic()
    assert gate.fetch(-1) == 0
    assert gate.fetch(0) is None
    assert time.monotonic() - began < 5


def test_a_gate_that_may_not_wait_leaves_the_server_alone_for_a_while(
    gate: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_client, "NEWS_PAUSE_S", 0.4)
    monkeypatch.setattr("enrollment.gallery_feed.WAITING_MAX", 0)
    gate.desk.app.view_functions["enrollment_api.gallery"] = (
        gate.desk._application().view_functions["enrollment_api.gallery"]
    )
    gate.fetch(-1)
    gate.fetch(0)
    began = time.monotonic()
    assert gate.fetch(0) is None
    assert 0.4 <= time.monotonic() - began < 5


@pytest.mark.parametrize("waiting", [False, True])
def test_a_revoked_gate_is_told_so(gate: Connected, waiting: bool) -> None:
    gate.client._news_wait_s = 2
    gate.fetch(-1)
    if waiting:
        gate.fetch(0)  # from now on the server holds its answer back
    else:
        revoke_gate(gate.desk.enrollment.access, "south-1", gate.desk.now)
    later = threading.Timer(
        0.7, revoke_gate, (gate.desk.enrollment.access, "south-1", gate.desk.now)
    )
    if waiting:
        later.start()
    with pytest.raises(GateRevoked, match="was revoked"):
        gate.fetch(0)


def test_a_gate_that_the_server_never_knew_is_told_so(gate: Connected, tmp_path: Path) -> None:
    key, _ = make_keys(tmp_path / "other")
    client = Client(gate.identity.file.server, "south-1", key)
    try:
        with pytest.raises(GateRevoked, match="not registered"):
            client.gallery(-1)
    finally:
        client.close()


def test_a_token_that_is_refused_is_no_revocation(gate: Connected) -> None:
    late = gate.desk.now - timedelta(hours=1)
    client = Client(
        gate.identity.file.server, "south-1", gate.identity.signing_key, clock=lambda: late
    )
    try:
        with pytest.raises(ServerRefused, match="has expired") as refused:
            client.gallery(-1)
    finally:
        client.close()
    assert not isinstance(refused.value, GateRevoked)
