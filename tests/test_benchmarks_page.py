"""The page of all benchmarks says of each figure whether it reached its target."""

from __future__ import annotations

import pytest

from bench.everything import Result, _page, met


def figure(name: str, value: float | None, target: float | None, **more: object) -> Result:
    row: Result = {"name": name, "value": value, "target": target, "unit": "", "peer": None}
    return {**row, "peer_value": None, "ratio": None, **more}


@pytest.mark.parametrize(
    ("name", "target", "reached", "missed"),
    [
        ("open_p95_ms", 300.0, 292.6, 300.1),
        ("verify_1m_s", 10.0, 8.4, 10.4),
        ("verify_rss_mb", 300.0, 227, 301),
        ("append_growth", 1.2, 1.14, 1.21),
        ("append_growth_cpu", 1.2, 1.14, 1.21),
        ("dlib_fnir_3x1", 0.12, 0.107, 0.121),
        ("priced_taps_per_s", 20_000, 22_672, 19_999),
        ("sqlite_vs_one_commit", 8.0, 8.1, 7.9),
        ("load_pg_counted_once", 1.0, 1.0, 0.99982),
        ("opened_for_another", 0, 0, 1),
        ("clip_false_opens", 0, 0, 1),
        ("stale_frames_used", 0, 0, 3),
    ],
)
def test_a_target_is_met_or_missed(name: str, target: float, reached: float, missed: float) -> None:
    assert met(figure(name, reached, target)) is True
    assert met(figure(name, missed, target)) is False


def test_a_figure_without_target_or_value_is_neither() -> None:
    assert met(figure("frames_dropped", 0.1, None)) is None
    assert met(figure("pg_vs_tpcb", None, 1.0)) is None


def test_the_page_names_what_was_missed_and_why_something_was_not_measured() -> None:
    machine = {"processor": "Some CPU", "cores": 2, "system": "Linux", "python": "3.11"}
    figures = [
        figure("open_p95_ms", 310.0, 300.0),
        figure("pg_vs_tpcb", None, 1.0, reason="there is no PostgreSQL here"),
    ]
    page = _page([{"bench": "gate", "machine": machine, "figures": figures}], seed=7)
    assert "| `open_p95_ms` | 310 | ≤ 300 | **missed** |" in page
    assert "not measured: there is no PostgreSQL here" in page
    assert "Some CPU, 2 cores" in page
    assert "seed 7" in page
