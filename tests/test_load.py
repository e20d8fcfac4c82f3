"""A city's peak in small, over HTTP on the real server; and a gate that is asked to wait waits."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.load import lost_or_doubled, measure
from gate.client import RETRY_AFTER_S_MAX, Client
from gate.errors import ServerUnreachable
from gate.sync import Repeating


def test_beyond_its_capacity_the_server_sheds_and_loses_nothing(tmp_path: Path) -> None:
    figures = {
        row["name"]: row for row in measure("sqlite", tmp_path / "city", 1, 9.0, accounts=200)
    }
    assert figures["load_sqlite_lost_or_doubled"]["value"] == 0
    assert figures["load_sqlite_tap_p99_ms"]["taps"] > 10
    beyond = figures["load_sqlite_shed_beyond"]
    assert beyond["value"] > 0
    assert figures["load_sqlite_shed_without_when"]["value"] == 0


def test_a_tap_that_is_lost_doubled_or_wrongly_priced_is_counted() -> None:
    assert lost_or_doubled(["a", "b"], [("a", 200), ("b", 200)]) == 0
    assert lost_or_doubled(["a", "b"], [("a", 200)]) == 1
    assert lost_or_doubled(["a", "b"], [("a", 200), ("b", 400)]) == 1
    assert lost_or_doubled(["a", "b"], [("a", 200), ("b", 200), ("c", 200)]) == 1
    assert lost_or_doubled(["a", "b"], [("a", 200), ("b", 200), ("a", 200)]) == 1


def answering(status: int, **headers: str) -> Client:
    """A gate's client whose server always says this."""
    said = httpx.MockTransport(
        lambda request: httpx.Response(status, json={"detail": "later"}, headers=headers)
    )
    return Client("http://127.0.0.1", "south-1", Ed25519PrivateKey.generate(), transport=said)


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "86400"}, RETRY_AFTER_S_MAX),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_gate_reads_how_long_the_server_wants_to_be_left_alone(
    headers: dict[str, str], pause_s: float
) -> None:
    with pytest.raises(ServerUnreachable) as caught:
        answering(503, **headers).blocked_accounts()
    assert caught.value.retry_after_s == pause_s


def test_a_new_tap_does_not_make_a_gate_come_back_before_that() -> None:
    asked: list[float] = []

    def refused() -> bool:
        asked.append(time.monotonic())
        raise ServerUnreachable("the server cannot answer now: later", 0.6)

    repeating = Repeating("deliveries", refused, 30.0)
    repeating.start()
    until = time.monotonic() + 5
    while len(asked) < 2 and time.monotonic() < until:
        repeating.wake()
        time.sleep(0.02)
    repeating.stop(5)
    assert asked[1] - asked[0] >= 0.6
