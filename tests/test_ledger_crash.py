"""A ledger killed at any moment has every tap it acknowledged, once, and its log verifies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlmodel import select

from ledger.accounts import balance
from ledger.answers import Accepted
from ledger.checkpoints import publish
from ledger.kept import CheckpointFile
from ledger.verify import verify
from models.database import reading
from models.money import Money
from models.tables.ledger import TapRow
from models.wire.keys import raw_public
from tests.town import ORIGIN, make_town

KILLS = 5
TAPS = 400
WRITER = Path(__file__).with_name("ledger_writer.py")


def test_a_killed_ledger_lost_no_acknowledged_tap_and_charged_none_twice(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    account = town.account()
    signed = [town.gate.tap(account) for _ in range(TAPS)]
    taps = tmp_path / "taps"
    taps.write_text("\n".join(signed), encoding="ascii")
    acknowledged: set[int] = set()
    for round_ in range(KILLS):
        acknowledged |= run_and_kill(town.data.path, taps, town.gate.key, 20 + 31 * round_)
        with reading(town.ledger.engine) as session:
            charged = set(session.exec(select(TapRow.gate_seq)))
        assert {number + 1 for number in acknowledged} <= charged
    assert 0 < len(acknowledged) < TAPS
    # The gate sends again whatever was not acknowledged, and to be sure all the rest too.
    answers = town.charge(*signed)
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert sorted(a.entry for a in answers if isinstance(a, Accepted)) == list(range(TAPS))
    assert balance(town.ledger, account) == Money(-200 * TAPS, "CNY")
    publish(town.ledger)
    note = CheckpointFile(town.data.checkpoint_file).read()
    key = town.ledger.log_key.public_key()
    report = verify(town.ledger.engine, ORIGIN, key, note, town.ledger.vault)
    assert (report.entries, report.not_excluded) == (TAPS, ())


def run_and_kill(data: Path, taps: Path, key: object, after: int) -> set[int]:
    """Run the writer until it acknowledged a new tap number ``after``, then kill -9 it."""
    public = raw_public(key.public_key()).hex()  # type: ignore[attr-defined]
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(data), str(taps)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GATE_KEY": public},
    )
    assert process.stdout is not None
    seen: set[int] = set()
    for line in process.stdout:
        seen.add(int(line))
        if len(seen) >= after:
            time.sleep(0.0007 * (after % 7))  # another point of the next transaction each time
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read()
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    # A line cut off by the kill was not received by the gate.
    return seen | {int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")}
