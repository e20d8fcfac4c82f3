"""The benchmark of a long log, run over a short one: what it measures and what it calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench.log
from bench.log import Writer, growing


def test_growth_is_measured_by_the_clock_and_in_processor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.log, "ACCOUNTS", 5)
    monkeypatch.setattr(bench.log, "GROWTH_ROUNDS", 2)
    monkeypatch.setattr(bench.log, "APPENDED", 32)
    large, small = (Writer(tmp_path / name, seed=1) for name in ("large", "small"))
    large.rides(500)
    small.rides(50)
    wall, cpu = growing(large, small)
    assert [row["name"] for row in (wall, cpu)] == ["append_growth", "append_growth_cpu"]
    assert (large.size, small.size) == (564, 114)
    for row in (wall, cpu):
        assert row["target"] == 1.2
        assert row["value"] == pytest.approx(
            row["us_per_entry"] / row["us_per_entry_small"], rel=0.01
        )
    assert wall["us_per_entry"] > cpu["us_per_entry"] > 0  # it waits for the disk as well
    for writer in (large, small):
        writer.ledger.engine.dispose()
