"""What a gate tells of itself: health, figures, logs, and the watchdog. Never who rode."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client.parser import text_string_to_metric_families

from gate.client import Client
from gate.display import Display
from gate.doors.events import DoorEvent
from gate.errors import OutboxError
from gate.faults import FOR_RIDERS, Fault, FaultBoard
from gate.health import Check, Facts, Level, as_json, checks, look
from gate.identity import GateFile, GateIdentity, load_identity, make_keys, save_identity
from gate.kiosk.server import LocalServer
from gate.logs import STRUCK_OUT, JsonLines, set_up, strike_out
from gate.metrics import Metrics
from gate.notify import Watchdog
from gate.outbox import Counts, Outbox
from gate.passage import Phase
from gate.words import LANGUAGES, Word, both, catalogue, in_chinese, in_english, is_code
from ledger.fares.standing import BLOCK_REASONS
from models.faces.quality import ADVICE
from models.wire.keys import base64url, raw_public
from tests.test_outbox import make_tap

NOW = datetime(2026, 11, 22, 18, 49, 7, tzinfo=UTC)
ACCOUNT = "5f0c" * 8
WELL = Facts(
    now=NOW,
    taps=Counts(pending=0, accepted=12, refused=0, quarantined=0),
    disk_free_mb=9000,
    contact_at=NOW - timedelta(seconds=9),
)


@pytest.fixture
def identity(tmp_path: Path) -> GateIdentity:
    key, _ = make_keys(tmp_path)
    file = GateFile(
        gate="south-1",
        station="south",
        direction="in",
        server="http://127.0.0.1:1",
        enrollment_key=base64url(raw_public(key.public_key())),
    )
    save_identity(tmp_path, file)
    return load_identity(tmp_path)


# --- health ---------------------------------------------------------------------------


def judged(facts: Facts) -> dict[str, Check]:
    return {check.name: check for check in checks(facts)}


def test_a_gate_that_is_well_has_nothing_to_do() -> None:
    for check in checks(WELL):
        assert (check.level, check.do) == (Level.OK, ""), check
    assert as_json(checks(WELL))["ok"] is True


@pytest.mark.parametrize(
    ("facts", "name", "level", "says"),
    [
        (replace(WELL, contact_at=None), "server", Level.BAD, "never answered"),
        (replace(WELL, contact_at=NOW - timedelta(minutes=6)), "server", Level.WARN, "6 min ago"),
        (replace(WELL, contact_at=NOW - timedelta(hours=25)), "server", Level.BAD, "faces alone"),
        (replace(WELL, contact_at=NOW + timedelta(hours=1)), "server", Level.OK, "0 s ago"),
        (
            replace(WELL, taps=Counts(3, 0, 0, 0), oldest_at=NOW - timedelta(seconds=30)),
            "outbox",
            Level.OK,
            "3 taps wait",
        ),
        (
            replace(WELL, taps=Counts(3, 0, 0, 0), oldest_at=NOW - timedelta(hours=3)),
            "outbox",
            Level.WARN,
            "oldest for 3 h",
        ),
        (replace(WELL, taps=Counts(0, 9, 1, 2)), "not charged", Level.WARN, "3 taps"),
        (replace(WELL, disk_free_mb=300), "disk", Level.WARN, "300 MB"),
        (replace(WELL, disk_free_mb=10), "disk", Level.BAD, "10 MB"),
        (replace(WELL, faults={Fault.DOOR: "jammed"}), "door", Level.BAD, "jammed"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_to_do(
    facts: Facts, name: str, level: Level, says: str
) -> None:
    check = judged(facts)[name]
    assert check.level is level
    assert says in check.says
    assert level is Level.OK or check.do or name in set(Fault)
    assert "\n" not in check.line()
    assert as_json(checks(facts))["ok"] is (level is not Level.BAD)


def test_the_facts_are_those_of_the_gates_directory(identity: GateIdentity) -> None:
    outbox = Outbox(identity.outbox_path)
    facts = look(identity, outbox, NOW, {})
    assert facts.contact_at is None and facts.oldest_at is None
    before = datetime.now(UTC)
    outbox.append(make_tap, identity.signing_key)
    identity.standings_path.write_text("{}", encoding="utf-8")
    facts = look(identity, outbox, datetime.now(UTC), {Fault.CLOCK: "wrong"})
    assert facts.taps.pending == 1
    assert facts.oldest_at is not None and abs((facts.oldest_at - before).total_seconds()) < 5
    assert facts.contact_age_s is not None and facts.contact_age_s < 5
    assert facts.disk_free_mb > 0
    assert facts.faults == {Fault.CLOCK: "wrong"}


def test_faults_stand_until_they_are_over_worst_first() -> None:
    board = FaultBoard()
    board.set(Fault.OFFLINE, "no server")
    assert board.for_riders() is None
    board.set(Fault.DOOR, "jammed")
    board.set(Fault.CAMERA, "unplugged")
    assert list(board.standing()) == [Fault.CAMERA, Fault.DOOR, Fault.OFFLINE]
    assert board.for_riders() is FOR_RIDERS[Fault.CAMERA]
    for fault in Fault:
        board.set(fault, "")
    assert board.standing() == {}


def test_a_fault_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    board = FaultBoard()
    for detail in ("jammed", "jammed", "gone", "", ""):
        board.set(Fault.DOOR, detail)
    assert [record.getMessage() for record in caplog.records] == [
        "fault: jammed",
        "fault: gone",
        "fault over",
    ]


# --- words ----------------------------------------------------------------------------


def test_every_code_has_its_words_in_both_languages() -> None:
    texts = catalogue()
    assert set(texts) == {str(word) for word in Word} | {str(reason) for reason in ADVICE}
    for code, said in texts.items():
        assert set(said) == set(LANGUAGES)
        assert said["en"].isascii(), code
        assert any("\u4e00" <= letter <= "\u9fff" for letter in said["zh"]), code


def test_a_code_and_its_sentence_lead_to_the_same_words() -> None:
    for code, said in catalogue().items():
        assert in_english(code) == said["en"]
        assert in_chinese(said["en"]) == in_chinese(both(said["en"]).code)


def test_a_sentence_of_the_server_stands_as_it_is() -> None:
    said = both("The balance is CN¥1.00.")
    assert (said.code, said.english, said.chinese) == (
        "other",
        "The balance is CN¥1.00.",
        "The balance is CN¥1.00.",
    )


def test_every_reason_of_the_ledger_has_the_gates_own_words() -> None:
    for code in ("overdraft", *BLOCK_REASONS):
        assert is_code(code)
        assert not re.search(r"[0-9¥$€]", in_english(code) + in_chinese(code)), "no balance"


def test_the_deny_list_becomes_codes_where_there_are_words_for_them() -> None:
    rows = [
        {"account": "a" * 32, "reason": "overdraft", "words": "The balance is CN¥-3.00."},
        {"account": "b" * 32, "reason": "a reason of next year", "words": "Ask the desk."},
    ]
    answers = httpx.MockTransport(lambda request: httpx.Response(200, json={"blocked": rows}))
    client = Client("http://gate.test", "south-1", Ed25519PrivateKey.generate(), answers)
    assert client.blocked_accounts() == {"a" * 32: "overdraft", "b" * 32: "Ask the desk."}
    client.close()


# --- figures --------------------------------------------------------------------------


def figures(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by name and label values, as Prometheus would read it."""
    server = LocalServer(metrics.app(), 0, "metrics")
    server.start()
    try:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/metrics")
    finally:
        server.stop()
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_passages_are_counted_by_outcome_and_reason() -> None:
    metrics = Metrics(lambda: WELL)
    display: Display = metrics
    display.show(Phase.LOOK, Word.HOLD_STILL)
    display.show(Phase.OPEN, "", "tap")
    display.show(Phase.REFUSED, Word.NOT_RECOGNISED)
    display.show(Phase.REFUSED, f"Account {ACCOUNT} owes CN¥5.00.")
    display.show(Phase.SECOND_FACTOR, Word.TWO_RIDERS)
    display.settled("tap", {"status": "accepted"})
    display.settled("tap", {"status": f"odd {ACCOUNT}"})
    metrics.door(DoorEvent.FORCED, "")
    found = figures(metrics)
    passages = {key[1:]: n for key, n in found.items() if key[0] == "facefare_gate_passages_total"}
    assert passages == {
        ("open", ""): 1,
        ("refused", "not-recognised"): 1,
        ("refused", "other"): 1,
        ("second factor", "two-riders"): 1,
    }
    assert found["facefare_gate_settled_total", "accepted"] == 1
    assert found["facefare_gate_settled_total", "other"] == 1
    assert found["facefare_gate_door_events_total", "forced"] == 1
    assert ACCOUNT not in str(found)


def test_frames_faults_and_waiting_taps_are_measured_when_asked() -> None:
    now_s = [100.0]
    facts = replace(
        WELL,
        taps=Counts(4, 0, 1, 0),
        oldest_at=NOW - timedelta(seconds=70),
        faults={Fault.CAMERA: "unplugged"},
    )
    metrics = Metrics(lambda: facts, clock=lambda: now_s[0])
    assert ("facefare_gate_frame_age_seconds",) not in figures(metrics)
    metrics.frame()
    now_s[0] = 103.5
    found = figures(metrics)
    assert found["facefare_gate_frames_total",] == 1
    assert found["facefare_gate_frame_age_seconds",] == 3.5
    assert found["facefare_gate_fault", "camera"] == 1
    assert found["facefare_gate_fault", "door"] == 0
    assert found["facefare_gate_outbox_taps", "pending"] == 4
    assert found["facefare_gate_outbox_oldest_seconds",] == 70
    assert found["facefare_gate_server_contact_seconds",] == 9
    assert found["facefare_gate_disk_free_bytes",] == 9000 * 2**20


def test_an_outbox_that_cannot_be_read_does_not_hide_the_other_figures() -> None:
    def broken() -> Facts:
        raise OutboxError("the disk is gone")

    metrics = Metrics(broken)
    metrics.frame()
    assert figures(metrics)["facefare_gate_frames_total",] == 1


def test_the_figures_are_for_this_machine_alone() -> None:
    server = LocalServer(Metrics(lambda: WELL).app(), 0, "metrics")
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/metrics"
        assert httpx.get(url, headers={"Host": "gate.evil.example"}).status_code == 403
        assert httpx.get(url).status_code == 200
    finally:
        server.stop()


# --- logs -----------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[Callable[[], list[dict[str, str]]]]:
    """What the program logged, read back from its JSON lines."""
    out = StringIO()
    handler = set_up(out, {"FACEFARE_LOG": "json"})
    assert handler is not None
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)


def test_a_log_line_is_json_with_its_facts(log: Callable[[], list[dict[str, str]]]) -> None:
    Metrics(lambda: WELL).show(Phase.REFUSED, Word.NOT_RECOGNISED)
    (line,) = log()
    assert (line["level"], line["from"], line["says"]) == ("info", "gate.metrics", "passage")
    assert (line["phase"], line["reason"]) == ("refused", "not-recognised")
    assert line["at"].endswith("Z")


def test_no_account_reaches_the_log(log: Callable[[], list[dict[str, str]]]) -> None:
    metrics = Metrics(lambda: WELL)
    metrics.show(Phase.REFUSED, f"Account {ACCOUNT} owes CN¥5.00.")
    metrics.door(DoorEvent.RELEASED, f"ada for {ACCOUNT}")
    logging.getLogger("gate").error("the rider %s cannot", ACCOUNT)
    FaultBoard().set(Fault.DOOR, f"no answer for {ACCOUNT.upper()}")
    try:
        raise ValueError(f"account={ACCOUNT}")
    except ValueError:
        logging.getLogger("gate").exception("unexpected")
    text = json.dumps(log())
    assert ACCOUNT not in text.lower()
    assert text.count(STRUCK_OUT) >= 4
    assert "ada for" in text


def test_only_what_could_be_an_account_is_struck_out() -> None:
    assert strike_out(f"tap of {ACCOUNT}, {'ab' * 32}") == f"tap of {STRUCK_OUT}, {STRUCK_OUT}"
    for harmless in ("0190e7a8-7f3a-7c3a-8f3a-0123456789ab", "1234567", "deadbeef"):
        assert strike_out(harmless) == harmless


def test_logs_stay_as_they_are_unless_json_is_asked_for() -> None:
    assert set_up(StringIO(), {}) is None
    line = JsonLines().format(logging.LogRecord("x", 20, "f", 1, "say %s", ("it",), None))
    assert json.loads(line)["says"] == "say it"


# --- the watchdog ---------------------------------------------------------------------


def test_systemd_hears_of_the_start_and_twice_in_each_period(tmp_path: Path) -> None:
    now_s = [0.0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        watchdog = Watchdog(
            {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"},
            clock=lambda: now_s[0],
        )
        watchdog.ready()
        for now_s[0] in (0.0, 0.1, 4.9, 5.0, 9.0, 10.1):
            watchdog.beat()
        watchdog.stopping()
        heard = [systemd.recv(100).decode() for _ in range(5)]
    assert heard == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_without_systemd_nothing_is_sent_and_nothing_fails() -> None:
    watchdog = Watchdog({})
    watchdog.ready()
    watchdog.beat()
    watchdog.stopping()


def test_a_socket_that_is_gone_is_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Watchdog({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "READY=1" in caplog.text
