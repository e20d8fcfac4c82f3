"""The stand-alone verifier over a whole log: what an auditor exports, and checkpoints he kept."""

from __future__ import annotations

import ast
import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoints import publish
from ledger.cli import ledger as command
from ledger.entries import FIRST_PREV, encode
from ledger.kept import CheckpointFile
from ledger.topups import top_up
from models.log.cosignatures import Cosigner, cosign
from models.log.notes import Checkpoint, parse_note, sign_checkpoint, verifier_key
from models.log.tiles import bundle
from models.log.tree import leaf_hash, root
from models.money import Money
from tests.town import ORIGIN, make_town

DOCS = Path(__file__).parents[1] / "docs"
VERIFIER = DOCS / "verify" / "verify_facefare.py"
KEPT, SIZE = 13, 40
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Lines = list[bytes]


@dataclass(frozen=True)
class Log:
    """The lines of an export, the log's key, and the checkpoints after ``KEPT`` and all."""

    lines: Lines
    key: Ed25519PrivateKey
    older: str
    newest: str

    def note(self, lines: Lines) -> str:
        """A checkpoint over other ``lines``, as only the holder of the log's key can sign it."""
        return sign_checkpoint(Checkpoint(ORIGIN, len(lines), root_of(lines)), self.key)


def root_of(lines: Lines) -> bytes:
    return root([leaf_hash(line.removesuffix(b"\n")) for line in lines])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    town = make_town(tmp_path_factory.mktemp("town") / "data")
    account, notes = town.account(), []
    top_up(town.ledger, account, Money(9000, "CNY"), str(uuid4()), "desk")
    for count in (KEPT - 1, SIZE - KEPT):
        town.charge(*(town.gate.tap(account) for _ in range(count)))
        publish(town.ledger)
        notes.append(CheckpointFile(town.data.checkpoint_file).read())
    printed = CliRunner().invoke(command, ["entries", "--data", str(town.data.path)])
    lines = printed.stdout_bytes.splitlines(keepends=True)
    town.ledger.engine.dispose()
    return Log(lines, town.ledger.log_key, *notes)


@dataclass(frozen=True)
class Auditor:
    """Runs the program over an export and checkpoints."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    main: Callable[[], int]

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        self.monkeypatch.setattr(sys, "argv", [VERIFIER.name, *arguments])
        code = self.main()
        return code, "".join(self.capsys.readouterr())

    def arguments(self, log: Log, lines: Lines, *notes: str) -> list[str]:
        export = self.folder / "entries.jsonl"
        export.write_bytes(b"".join(lines))
        files = [self.folder / f"checkpoint-{number}" for number in range(len(notes))]
        for file, note in zip(files, notes, strict=True):
            file.write_text(note, encoding="utf-8")
        key = verifier_key(ORIGIN, log.key.public_key())
        return ["entries", str(export), *map(str, files), "--key", key]

    def check(self, log: Log, lines: Lines, *notes: str) -> tuple[int, str]:
        return self.run(*self.arguments(log, lines, *notes))


@pytest.fixture
def auditor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Auditor:
    spec = importlib.util.spec_from_file_location("verify_facefare", VERIFIER)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return Auditor(tmp_path, monkeypatch, capsys, program.main)


def test_the_program_is_short_and_needs_nothing_of_ours() -> None:
    source = VERIFIER.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"cryptography"}


def test_an_export_passes_with_the_newest_checkpoint_and_one_kept_earlier(
    log: Log, auditor: Auditor
) -> None:
    arguments = auditor.arguments(log, log.lines, log.newest, log.older)
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"all {SIZE} entries follow one another, with the root {root_of(log.lines).hex()}",
        f"the first {KEPT} are those a checkpoint was signed over",
        f"the first {SIZE} are those a checkpoint was signed over",
    ]


def test_entries_beyond_the_checkpoint_are_said_not_to_be_covered(
    log: Log, auditor: Auditor
) -> None:
    code, said = auditor.check(log, log.lines, log.older)
    assert code == 0
    assert f"not excluded: that there were more or other entries from {KEPT} on" in said
    code, said = auditor.check(log, log.lines)
    assert code == 0
    assert "not excluded: that entries were cut off or replaced" in said


def test_the_published_entries_have_the_root_that_the_document_names(auditor: Auditor) -> None:
    code, said = auditor.run("entries", str(DOCS / "verify" / "entries.jsonl"))
    assert code == 0
    found = said.splitlines()[0].rpartition(" ")[2]
    assert f"`{found}`" in (DOCS / "ledger-format.md").read_text(encoding="utf-8")


def test_the_documents_commands_are_the_programs(auditor: Auditor) -> None:
    texts = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    shown = [line for text in texts for line in text.splitlines() if VERIFIER.name in line]
    commands = [shlex.split(line)[2:] for line in shown if line.startswith("python ")]
    assert {words[0] for words in commands} == {"receipt", "checkpoint", "entries"}
    for words in commands:
        with pytest.raises(SystemExit):
            auditor.run(words[0], "--help")
        help_text = auditor.capsys.readouterr().out
        assert {word for word in words if word.startswith("--")} <= set(help_text.split()), words


def test_a_folder_of_bundles_is_read_as_the_export_is(log: Log, auditor: Auditor) -> None:
    bundles = auditor.folder / "bundles"
    bundles.mkdir()
    entries = [line.removesuffix(b"\n") for line in log.lines]
    (bundles / "000").write_bytes(bundle(entries[:30]))
    (bundles / "001").write_bytes(bundle(entries[30:]))
    arguments = auditor.arguments(log, log.lines, log.newest, log.older)
    assert auditor.run(*arguments) == auditor.run("entries", str(bundles), *arguments[2:])
    (bundles / "001").write_bytes(bundle(entries[30:])[:-1])
    code, said = auditor.run("entries", str(bundles), *arguments[2:])
    assert code == 1
    assert "ends in the middle of an entry" in said


def swapped(lines: Lines) -> Lines:
    return [*lines[:20], lines[21], lines[20], *lines[22:]]


def changed(lines: Lines) -> Lines:
    return [*lines[:20], lines[20].replace(b'"minor":200', b'"minor":100'), *lines[21:]]


def changed_name(lines: Lines) -> Lines:
    """Canonical, balanced and in its place: only hashes show it."""
    return [*lines[:20], lines[20].replace(b'"south"', b'"north"'), *lines[21:]]


def spaced(lines: Lines) -> Lines:
    return [*lines[:20], lines[20].replace(b'"v":1', b'"v": 1'), *lines[21:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed, "entry 20 has postings that do not sum to zero"),
        (changed_name, "entry 21 does not follow the one before it"),
        (spaced, "entry 20 is not a canonical entry"),
        (swapped, "entry 20 does not follow the one before it"),
        (lambda lines: lines[:-1], f"entry {SIZE - 1} is missing: a checkpoint covers {SIZE}"),
        (lambda lines: [], f"entry 0 is missing: a checkpoint covers {SIZE}"),
        (lambda lines: lines[1:], "entry 0 does not follow the one before it"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], f"entry {SIZE - 1} is not JSON"),
        (lambda lines: [*lines[:20], b"[]\n", *lines[21:]], "entry 20 is not JSON with postings"),
        (lambda lines: [*lines[:20], b"\xff\n", *lines[21:]], "entry 20 is not JSON"),
    ],
)
def test_a_changed_export_is_refused_with_a_sentence(
    log: Log, auditor: Auditor, change: Callable[[Lines], Lines], words: str
) -> None:
    lines = change(log.lines)
    assert lines != log.lines
    code, said = auditor.check(log, lines, log.newest)
    assert code == 1
    assert said.startswith(f"WRONG: {words}")


def test_any_changed_byte_of_an_export_is_refused(log: Log, auditor: Auditor) -> None:
    export = b"".join(log.lines)
    for place in range(0, len(export), 997):
        broken = bytearray(export)
        broken[place] ^= 1 << place % 8
        code, said = auditor.check(log, [bytes(broken)], log.newest)
        assert code == 1, place
        assert said.startswith("WRONG: "), place


def forged(lines: Lines, edit: Callable[[dict[str, Any]], None]) -> Lines:
    """``lines`` after an ``edit``, with everything after it made to fit."""
    prev, made = FIRST_PREV, []
    for line in lines:
        value = json.loads(line)
        edit(value)
        value["prev"] = prev.hex()
        made.append(encode(value) + b"\n")
        prev = leaf_hash(encode(value))
    return made


def rename(value: dict[str, Any]) -> None:
    if value["seq"] == 5:
        value["station"] = "north"


def back_date(value: dict[str, Any]) -> None:
    if value["seq"] == 5:
        value["recorded_at"] = "2026-11-01T00:00:00.000Z"


def test_a_log_that_its_own_operator_rewrote_contradicts_the_checkpoint_kept_earlier(
    log: Log, auditor: Auditor
) -> None:
    other = forged(log.lines, rename)
    newest = log.note(other)
    assert auditor.check(log, other, newest)[0] == 0  # alone, the forged log is flawless
    code, said = auditor.check(log, other, newest, log.older)
    assert code == 1
    assert f"the first {KEPT} entries are not those a checkpoint was signed over" in said
    code, said = auditor.check(log, log.lines, log.newest, log.note(other[:KEPT]))
    assert code == 1
    assert f"the first {KEPT} entries are not those" in said
    code, said = auditor.check(log, log.lines, log.newest, newest)
    assert code == 1
    assert "the log signed two histories" in said


def test_a_back_dated_entry_is_refused_without_any_checkpoint(log: Log, auditor: Auditor) -> None:
    code, said = auditor.check(log, forged(log.lines, back_date))
    assert code == 1
    assert "entry 5 says it was recorded before the one before it" in said


def test_checkpoints_need_the_logs_own_key(log: Log, auditor: Auditor) -> None:
    *arguments, _ = auditor.arguments(log, log.lines, log.newest, log.older)
    other = verifier_key(ORIGIN, Ed25519PrivateKey.generate().public_key())
    for arguments_with, words in (
        ([*arguments, other], "not signed by this key"),
        (arguments[:-1], "'' is not a public key"),
        ([*arguments, other[:-8]], "is not the Ed25519 key of a log"),
    ):
        code, said = auditor.run(*arguments_with)
        assert code == 1
        assert said.startswith("WRONG: ")
        assert words in said


def test_the_checkpoint_of_the_empty_log_is_where_every_log_begins(
    log: Log, auditor: Auditor
) -> None:
    assert auditor.check(log, log.lines, log.note([]))[0] == 0
    assert auditor.check(log, [], log.note([]))[0] == 0
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), log.key)
    assert auditor.check(log, log.lines, wrong)[0] == 1


def test_a_witness_that_is_named_must_have_cosigned(log: Log, auditor: Auditor) -> None:
    witness = Cosigner("witness.test/w1", WITNESS.public_key())
    seen = cosign(parse_note(log.newest).body, witness.name, WITNESS, 1_795_000_000)
    key = verifier_key(ORIGIN, log.key.public_key())
    file = auditor.folder / "witnessed"
    arguments = ["checkpoint", str(file), "--key", key, "--witness", witness.text()]
    file.write_text(log.newest + seen.line(), encoding="utf-8")
    code, said = auditor.run(*arguments)
    assert code == 0
    assert "witness.test/w1 saw it at 2026-11-18T11:06:40Z" in said
    file.write_text(log.newest, encoding="utf-8")
    assert "not signed by this key of witness.test/w1" in auditor.run(*arguments)[1]
    file.write_text(log.older + seen.line(), encoding="utf-8")
    code, said = auditor.run(*arguments)
    assert code == 1
    assert "signature by witness.test/w1 does not verify" in said
    assert auditor.run(*arguments[:-1], key)[0] == 1  # a log's key is no witness's
