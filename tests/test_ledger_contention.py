"""Sixteen gates at once, with taps sent twice and ids used for something else.

What they leave behind, exported into an empty ledger of the other kind, has the signed root.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres import Postgres
from ledger.kept import CheckpointFile
from ledger.replaying import entry_lines, replay
from models.log.notes import check_checkpoint
from tests.crowd import Client, Crowd, LedgerProcess, check_outcome, leaves, provisioned_gates
from tests.postgres import a_server, make_postgres_town
from tests.town import ORIGIN, Town, TownGate, make_town

CLIENTS = 16
TAPS = 200 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 40
AT_ONCE = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def town(kind: str, server: Postgres, tmp_path: Path) -> Town:
    return a_town(kind, server, tmp_path / "data")


@pytest.fixture
def other_kind(kind: str, server: Postgres, tmp_path: Path) -> Town:
    """An empty ledger of the other kind than the town's."""
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[kind]
    return a_town(other, server, tmp_path / "other")


def a_town(kind: str, server: Postgres, path: Path) -> Town:
    return make_town(path) if kind == "sqlite" else make_postgres_town(path, server)


class Script:
    """One gate's taps in order, and what is right for each."""

    def __init__(self, gate: TownGate, accounts: list[str], rng: random.Random) -> None:
        self.taps: list[str] = []
        self.ids: list[str] = []
        self.repeats = 0
        for _ in range(TAPS):
            dice = rng.random()
            if self.ids and dice < 0.10:
                self.taps.append(rng.choice(self.taps))
                self.repeats += 1
            elif self.ids and dice < 0.15:
                self.taps.append(gate.tap(rng.choice(accounts), tap_id=rng.choice(self.ids)))
            else:
                tap = gate.next_tap(rng.choice(accounts))
                self.taps.append(gate.sign(tap))
                self.ids.append(tap.tap_id)

    def requests(self) -> list[list[str]]:
        return [self.taps[start : start + AT_ONCE] for start in range(0, TAPS, AT_ONCE)]


def test_rows_are_distinct_ids_and_mismatches_are_conflicts(
    town: Town, other_kind: Town, tmp_path: Path
) -> None:
    accounts = [town.account() for _ in range(20)]
    gates = provisioned_gates(town, CLIENTS)
    scripts = [Script(gate, accounts, random.Random(gate.name)) for gate in gates]
    process = LedgerProcess(town, tmp_path / "log")
    process.start()
    try:
        process.wait()
        crowd = Crowd(
            [
                Client(gate, process.url, script.requests())
                for gate, script in zip(gates, scripts, strict=True)
            ]
        )
        crowd.start()
        crowd.join()
    finally:
        process.close()
    assert {status for client in crowd.clients for status in client.statuses} == {200}
    assert sum(script.repeats for script in scripts) > CLIENTS * TAPS * 0.05
    told = crowd.told()
    assert len(told) == CLIENTS * TAPS
    ids = {tap_id for script in scripts for tap_id in script.ids}
    refused = [answer for answer in told if answer["status"] == "refused"]
    assert {answer["problem"]["status"] for answer in refused} == {409}
    assert {answer["tap_id"] for answer in refused} <= ids
    assert {answer["tap_id"] for answer in told if answer["status"] == "accepted"} == ids
    check_outcome(town, told, ids)
    assert len(leaves(town)) == len(ids)
    made = replay(other_kind.ledger, entry_lines(town.ledger))
    key = town.ledger.log_key.public_key()
    note = CheckpointFile(town.data.checkpoint_file).read()
    assert made == check_checkpoint(note, ORIGIN, key)
    assert leaves(other_kind) == leaves(town)
