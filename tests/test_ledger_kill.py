"""Killed again and again under clients that retry: every acknowledged tap exactly once."""

from __future__ import annotations

import os
from pathlib import Path

from tests.crowd import LedgerProcess, endure
from tests.town import make_town

KILLS = 50 if os.environ.get("FACEFARE_TEST_ALL") == "1" else 3


def test_killed_under_retrying_clients_it_has_every_tap_once(tmp_path: Path) -> None:
    def kill(process: LedgerProcess) -> None:
        process.kill()
        process.start()
        process.wait()

    endure(make_town(tmp_path / "data"), tmp_path / "log", KILLS, kill, grows=True)
