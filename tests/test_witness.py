"""A witness over HTTP, in a process of its own: the protocol, restarts, and two at once."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.witness import Memory, WitnessError, create_witness, open_witness
from models.log.cosignatures import COSIGNATURE, Cosigner, cosign, find_cosignature
from models.log.notes import (
    Checkpoint,
    NoteRefused,
    check_checkpoint,
    parse_note,
    parse_signature,
    sign_checkpoint,
    verifier_key,
)
from models.log.proofs import prove_consistency
from models.log.submissions import PROOF_LINES_MAX, Submission, read_submission
from models.log.tree import leaf_hash, root

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = "fares.test/town"
NAME = "witness.test/w1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Log:
    """A log of small entries that can be rolled back and forked at will."""

    def __init__(self, size: int, change_at: int | None = None) -> None:
        self.leaves = [
            leaf_hash(b"changed" if number == change_at else str(number).encode())
            for number in range(size)
        ]

    def node(self, level: int, position: int) -> bytes:
        return root(self.leaves[position << level : (position + 1) << level])

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, root(self.leaves[:size]))

    def note(self, size: int, key: Ed25519PrivateKey = KEY) -> str:
        return sign_checkpoint(self.checkpoint(size), key)

    def submission(self, old: int, new: int) -> str:
        proof = tuple(prove_consistency(old, new, self.node))
        return Submission(old, proof, self.note(new)).text()


LOG = Log(40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a witness that knows one log."""
    path = tmp_path / "witness"
    create_witness(path, NAME)
    key = verifier_key(ORIGIN, KEY.public_key())
    with (path / "witness.toml").open("a", encoding="utf-8") as file:
        file.write(f'[[logs]]\nkey = "{key}"\n')
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The witness as its own process; yields its URL."""
    port = free_port()
    program = "from ledger.witness_cli import witness; witness()"
    arguments = ["run", str(folder), "--port", str(port)]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(url, process)
            yield url
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the witness did not start")


def add(url: str, text: str | bytes) -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return httpx.post(f"{url}/add-checkpoint", content=content, timeout=30)


def cosigner(folder: Path) -> Cosigner:
    return open_witness(folder, time.time).cosigner


def is_cosigned(response: httpx.Response, size: int, by: Cosigner) -> bool:
    assert response.status_code == 200, response.text
    signatures = [parse_signature(line) for line in response.text.splitlines()]
    signed, at = find_cosignature(LOG.checkpoint(size).body(), signatures, by)
    assert abs(at - time.time()) < 60
    whole = LOG.note(size) + signed.line()  # what a log's reader sees
    return check_checkpoint(whole, ORIGIN, KEY.public_key()) == LOG.checkpoint(size)


def test_a_witness_answers_each_case_as_the_protocol_says(folder: Path) -> None:
    with running(folder) as url:
        assert is_cosigned(add(url, LOG.submission(0, 5)), 5, cosigner(folder))
        assert is_cosigned(add(url, LOG.submission(5, 5)), 5, cosigner(folder))
        assert is_cosigned(add(url, LOG.submission(5, 17)), 17, cosigner(folder))

        stale = add(url, LOG.submission(5, 20))
        assert (stale.status_code, stale.text) == (409, "17\n")
        assert stale.headers["Content-Type"] == "text/x.tlog.size"

        other = Checkpoint("fares.test/other", 3, root(LOG.leaves[:3]))
        unknown = Submission(0, (), sign_checkpoint(other, KEY)).text()
        assert add(url, unknown).status_code == 404

        foreign = Submission(17, (), LOG.note(17, Ed25519PrivateKey.generate())).text()
        assert add(url, foreign).status_code == 403

        proof = prove_consistency(17, 30, LOG.node)
        for wrong in ((), tuple(proof[:-1]), (*proof, bytes(32)), tuple(reversed(proof))):
            assert add(url, Submission(17, wrong, LOG.note(30)).text()).status_code == 422

        good = LOG.submission(17, 30)
        for malformed in (
            "",
            "old 17\n",
            good.replace("old 17", "old 017"),
            good.replace("old 17", "old -1"),
            good.replace("old 17", "new 17"),
            good.replace("old 17", "old 31"),
            good.encode().replace(b"\n", b"\r\n"),
            good.encode() + b"\xff",
            Submission(17, (bytes(32),) * (PROOF_LINES_MAX + 1), LOG.note(30)).text(),
        ):
            assert add(url, malformed).status_code == 400, malformed
        assert add(url, b"x" * 1_000_000).status_code == 413
        assert httpx.get(f"{url}/add-checkpoint").status_code == 405
        assert is_cosigned(add(url, good), 30, cosigner(folder))


def test_a_rollback_and_a_fork_are_refused_after_a_restart_too(folder: Path) -> None:
    forked = Log(40, change_at=3)
    with running(folder) as url:
        assert add(url, LOG.submission(0, 20)).status_code == 200
    with running(folder) as url:
        # Rolled back to 12: whatever the log claims as the old size, it does not get through.
        assert (add(url, LOG.submission(0, 12)).status_code) == 409
        assert (add(url, LOG.submission(12, 12)).text) == "20\n"
        assert add(url, Submission(20, (), LOG.note(12)).text()).status_code == 400
        # Another history of the same size, and a longer one.
        same = Submission(20, (), forked.note(20)).text()
        assert add(url, same).status_code == 409
        assert add(url, forked.submission(20, 33)).status_code == 422
        # The honest log goes on.
        assert is_cosigned(add(url, LOG.submission(20, 33)), 33, cosigner(folder))


def test_of_two_submissions_at_once_one_sees_the_other(folder: Path) -> None:
    """The race of the specification: N and N+K from the same old size must not roll back K."""
    with running(folder) as url:
        for size in range(0, 30, 3):
            texts = [LOG.submission(size, size + 1), LOG.submission(size, size + 3)]
            gate, answers = threading.Barrier(2), []

            def send(text: str, gate: threading.Barrier, answers: list[httpx.Response]) -> None:
                gate.wait()
                answers.append(add(url, text))

            threads = [threading.Thread(target=send, args=(text, gate, answers)) for text in texts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(answer.status_code for answer in answers) == [200, 409]
            newest = open_witness(folder, time.time).memory.newest(ORIGIN)
            assert newest in (LOG.checkpoint(size + 1), LOG.checkpoint(size + 3))
            if newest.size == size + 1:
                assert add(url, LOG.submission(size + 1, size + 3)).status_code == 200


def test_a_witness_without_its_memory_does_not_start(folder: Path) -> None:
    (folder / "witness.sqlite").unlink()
    with pytest.raises(WitnessError, match="forgot"):
        open_witness(folder, time.time)


def test_a_witness_is_made_once(folder: Path) -> None:
    with pytest.raises(WitnessError, match="already"):
        create_witness(folder, NAME)
    with pytest.raises(WitnessError, match="already"):
        Memory.create(folder / "witness.sqlite")
    with pytest.raises(WitnessError, match="cannot name"):
        create_witness(folder / "other", "a b")


@pytest.mark.parametrize(
    ("addition", "reason"),
    [
        ('[[logs]]\nkey = "nonsense"\n', "not base64|of the form"),
        ("colour = 1\n", "witness.toml"),
        ("[[logs]", "witness.toml"),
        (f'[[logs]]\nkey = "{verifier_key(ORIGIN, KEY.public_key(), COSIGNATURE)}"\n', "type 4"),
        (f'[[logs]]\nkey = "{verifier_key(ORIGIN, KEY.public_key())}"\n', "twice"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    folder: Path, addition: str, reason: str
) -> None:
    with (folder / "witness.toml").open("a", encoding="utf-8") as file:
        file.write(addition)
    with pytest.raises(WitnessError, match=reason):
        open_witness(folder, time.time)


def test_nothing_is_kept_of_a_submission_that_is_not_cosigned(folder: Path) -> None:
    memory = open_witness(folder, time.time).memory
    with pytest.raises(RuntimeError), memory.alone() as connection:
        connection.execute("INSERT INTO cosigned VALUES ('x', 1, x'00')")
        raise RuntimeError
    assert memory.newest("x").size == 0


def test_every_flipped_bit_of_a_cosignature_is_refused() -> None:
    body, by = LOG.checkpoint(7).body(), Cosigner(NAME, KEY.public_key())
    line = cosign(body, NAME, KEY, 1_679_315_147).line()
    assert find_cosignature(body, [parse_signature(line[:-1])], by)[1] == 1_679_315_147
    for bit in range(len(line.encode()[:-1]) * 8):
        changed = bytearray(line.encode()[:-1])
        changed[bit // 8] ^= 1 << bit % 8
        try:
            signature = parse_signature(changed.decode())
        except (NoteRefused, UnicodeDecodeError):
            continue
        with pytest.raises(NoteRefused):
            find_cosignature(body, [signature], by)


def test_a_cosigning_key_and_a_logs_key_are_not_taken_for_each_other() -> None:
    public = KEY.public_key()
    assert Cosigner.parse(Cosigner(NAME, public).text()) == Cosigner(NAME, public)
    with pytest.raises(NoteRefused, match="type 1"):
        Cosigner.parse(verifier_key(NAME, public))
    note = LOG.note(3)
    with pytest.raises(NoteRefused, match="no cosignature"):
        find_cosignature(
            parse_note(note).body, parse_note(note).signatures, Cosigner(ORIGIN, public)
        )


def test_a_submission_is_read_as_it_was_written() -> None:
    for old, new in ((0, 5), (3, 5), (5, 5), (16, 33)):
        text = LOG.submission(old, new)
        assert read_submission(text).text() == text
        assert read_submission(text).old == old
