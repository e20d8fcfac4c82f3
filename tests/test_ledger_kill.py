"""Killed again and again under clients that retry: every acknowledged tap exactly once."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.crowd import LedgerProcess, check_outcome, leaves, retrying_crowd
from tests.town import make_town

KILLS = 50 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 3
CLIENTS = 8


def test_killed_under_retrying_clients_it_has_every_tap_once(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    process = LedgerProcess(town, tmp_path / "log")
    crowd = retrying_crowd(town, process.url, CLIENTS)
    rng = random.Random(11)
    before: list[bytes] = []
    process.start()
    process.wait()
    crowd.start()
    try:
        for _ in range(KILLS):
            crowd.served(more=rng.randint(1, 60))
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
            now = leaves(town)
            assert now[: len(before)] == before, "an index was bound to another leaf"
            assert len(now) > len(before)
            before = now
            process.start()
            process.wait()
        crowd.finish()
    finally:
        process.close()
    told = crowd.told()
    assert leaves(town)[: len(before)] == before
    assert {answer["status"] for answer in told} <= {"accepted", "replayed"}
    check_outcome(town, told, {answer["tap_id"] for answer in told})
