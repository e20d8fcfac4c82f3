"""The outbox: chained, signed, durable; killed at any moment it goes on where it stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uuid6 import uuid7

from gate.errors import OutboxError
from gate.liveness.risk import Facts
from gate.outbox import KEPT_AFTER_ANSWER, Counts, Outbox
from models.wire.keys import load_signing_key, save_private_key
from models.wire.tap import FIRST_PREV, Evidence, Tap, check_tap, tap_hash
from models.wire.times import format_utc


def make_tap(seq: int, prev: str) -> Tap:
    return Tap(
        tap_id=str(uuid7()),
        gate="south-1",
        station="south",
        direction="in",
        at="2026-11-22T08:00:00.000Z",
        account="a" * 32,
        medium="face",
        evidence=Evidence(
            engine="dlib-resnet-1",
            score=0.5,
            margin=0.2,
            frames=3,
            liveness=None,
            gallery_version=1,
        ),
        seq=seq,
        prev=prev,
    )


NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def chain_of(outbox: Outbox, key: Ed25519PrivateKey) -> list[Tap]:
    """The waiting taps, each checked: signature, number and hash of the one before."""
    prev, taps = FIRST_PREV, []
    for number, (tap_id, signed) in enumerate(outbox.pending(10_000), start=1):
        tap = check_tap(signed, key.public_key())
        assert (tap.tap_id, tap.seq, tap.prev) == (tap_id, number, prev)
        prev = tap_hash(signed)
        taps.append(tap)
    return taps


def test_taps_are_numbered_and_chained_from_the_first(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    made = [outbox.append(make_tap, key) for _ in range(5)]
    assert chain_of(outbox, key) == made


def test_a_reopened_outbox_continues_the_chain(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    path = tmp_path / "outbox.sqlite"
    for _ in range(3):
        Outbox(path).append(make_tap, key)
    assert [tap.seq for tap in chain_of(Outbox(path), key)] == [1, 2, 3]


def test_a_tap_waits_until_the_ledger_has_answered_for_it(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    first, second = outbox.append(make_tap, key), outbox.append(make_tap, key)
    third = outbox.append(make_tap, key)
    outbox.settle([(first.tap_id, "accepted", "{}")], NOON)
    assert [tap_id for tap_id, _ in outbox.pending(10)] == [second.tap_id, third.tap_id]
    outbox.settle([(second.tap_id, "refused", "{}"), (third.tap_id, "quarantined", "{}")], NOON)
    assert outbox.counts() == Counts(pending=0, accepted=1, refused=1, quarantined=1)


def test_pruning_keeps_the_head_of_the_chain_and_everything_unanswered(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    waiting = outbox.append(make_tap, key)
    taps = [outbox.append(make_tap, key) for _ in range(KEPT_AFTER_ANSWER + 5)]
    outbox.settle([(tap.tap_id, "accepted", "{}") for tap in taps], NOON)
    assert outbox.counts().accepted == KEPT_AFTER_ANSWER
    assert [tap_id for tap_id, _ in outbox.pending(10)] == [waiting.tap_id]
    assert outbox.append(make_tap, key).seq == KEPT_AFTER_ANSWER + 7


def test_a_tap_that_cannot_be_built_leaves_nothing(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")

    def fails(seq: int, prev: str) -> Tap:
        raise RuntimeError("the clock stopped")

    with pytest.raises(RuntimeError, match="the clock stopped"):
        outbox.append(fails, key)
    assert outbox.append(make_tap, key).seq == 1


def test_an_outbox_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "outbox.sqlite"
    blocked.mkdir()
    with pytest.raises(OutboxError, match="cannot be used"):
        Outbox(blocked)


def test_a_file_that_is_no_outbox_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    file.write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(OutboxError, match="cannot be used"):
        Outbox(file)


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from gate.outbox import Outbox
    from models.wire.keys import load_signing_key
    from tests.test_outbox import make_tap

    folder = Path(sys.argv[1])
    outbox = Outbox(folder / "outbox.sqlite")
    key = load_signing_key(folder / "signing.pem")
    while True:
        print(outbox.append(make_tap, key).tap_id, flush=True)
    """
)


def test_killed_at_random_moments_every_tap_that_was_reported_is_there_once(
    tmp_path: Path,
) -> None:
    save_private_key(tmp_path / "signing.pem", Ed25519PrivateKey.generate())
    key = load_signing_key(tmp_path / "signing.pem")
    reported: list[str] = []
    for lines in (1, 7, 3, 12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        reported += [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        reported += process.stdout.read().split()
        process.wait()
        process.stdout.close()
    kept = [tap.tap_id for tap in chain_of(Outbox(tmp_path / "outbox.sqlite"), key)]
    assert len(kept) == len(set(kept))
    assert set(reported) <= set(kept)


def tap_of(medium: str, at: datetime) -> Callable[[int, str], Tap]:
    def build(seq: int, prev: str) -> Tap:
        return make_tap(seq, prev).model_copy(update={"medium": medium, "at": format_utc(at)})

    return build


def test_a_faces_openings_are_counted_until_the_pass_is_shown(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    history = outbox.history(lambda: NOON)
    for hours in (40, 30, 3, 2):
        outbox.append(tap_of("face", NOON - timedelta(hours=hours)), key)
    assert history.facts("a" * 32) == Facts(openings_today=2, openings_since_pass=4, waiting=4)
    outbox.append(tap_of("face+pass", NOON - timedelta(hours=1)), key)
    outbox.append(tap_of("face", NOON), key)
    assert history.facts("a" * 32) == Facts(openings_today=3, openings_since_pass=1, waiting=6)
    assert history.facts("b" * 32) == Facts(openings_today=0, openings_since_pass=0)


def test_findings_against_a_face_are_remembered_for_a_day(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.history(lambda: NOON - timedelta(hours=25)).note_not_live("a" * 32)
    outbox.history(lambda: NOON - timedelta(hours=2)).note_not_live("a" * 32)
    assert outbox.history(lambda: NOON).facts("a" * 32).not_live_today == 1


def test_what_a_face_did_a_month_ago_is_forgotten(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.append(tap_of("face", NOON - timedelta(days=31)), key)
    newest = outbox.append(tap_of("face", NOON), key)
    outbox.settle([(newest.tap_id, "accepted", "{}")], NOON)
    assert outbox.history(lambda: NOON).facts("a" * 32).openings_since_pass == 1


def test_taps_of_a_clock_that_ran_ahead_take_no_limit_away(
    tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for hours in (3, 2):
        outbox.append(tap_of("face", NOON - timedelta(hours=hours)), key)
    outbox.append(tap_of("pass", NOON + timedelta(days=4000)), key)
    ahead = outbox.append(tap_of("face", NOON + timedelta(days=4000)), key)
    outbox.settle([(ahead.tap_id, "accepted", "{}")], NOON)
    assert outbox.history(lambda: NOON).facts("a" * 32) == Facts(3, 3, waiting=3)
    outbox.append(tap_of("pass", NOON + timedelta(minutes=1)), key)
    later = outbox.history(lambda: NOON + timedelta(days=2)).facts("a" * 32)
    assert (later.openings_today, later.openings_since_pass) == (0, 0)
