"""The page of all benchmarks says of each figure whether it reached its target."""

from __future__ import annotations

import pytest

from bench.everything import _page, met
from bench.figures import figure


@pytest.mark.parametrize(
    ("name", "at_least", "target", "reached", "missed"),
    [
        ("open_p95_ms", False, 300.0, 292.6, 300.1),
        ("append_growth", False, 1.2, 1.2, 1.21),
        ("priced_taps_per_s", True, 20_000, 22_672, 19_999),
        ("clip_false_opens", False, 0, 0, 1),
        ("load_pg_lost_or_doubled", False, 0, 0, 1),
    ],
)
def test_a_target_is_met_or_missed(
    name: str, at_least: bool, target: float, reached: float, missed: float
) -> None:
    assert met(figure(name, reached, "", target, at_least=at_least)) is True
    assert met(figure(name, missed, "", target, at_least=at_least)) is False


def test_a_figure_without_target_or_value_is_neither() -> None:
    assert met(figure("frames_dropped", 0.1, "")) is None
    assert met(figure("pg_vs_tpcb", None, "", 1.0)) is None


def test_the_page_names_what_was_missed_and_why_something_was_not_measured() -> None:
    machine = {"processor": "Some CPU", "cores": 2, "system": "Linux", "python": "3.11"}
    figures = [
        figure("open_p95_ms", 310.0, "ms", 300.0),
        figure("pg_vs_tpcb", None, "", 1.0, reason="there is no PostgreSQL here"),
    ]
    measured = {"bench": "gate", "machine": machine, "seed": 7, "figures": figures}
    page = _page([{"on": "2026-11-23", **measured}])
    assert "| open_p95_ms | 310 ms | ≤ 300 | **missed** |" in page
    assert "not measured: there is no PostgreSQL here" in page
    assert "Some CPU, 2 cores" in page
    assert "seed 7" in page
