"""A witness: it remembers one checkpoint per log and cosigns only what continues it.

Another party runs it, with its own key, on its own machine. A log that shows one history
to its auditors and another to its riders would have to show both to the witness, which
refuses the second (C2SP ``tlog-witness``).

    DIR/witness.toml     name and the logs it knows, by their public keys
    DIR/witness.pem      its own key
    DIR/witness.sqlite   the newest checkpoint cosigned for each log

**Keep witness.sqlite.** A witness that forgot what it saw would cosign a log that was rolled
back. It therefore does not start without the file, and never makes a new one by itself.
Checking the old size and keeping the new checkpoint happen in one transaction, which is on
disk before the answer leaves: of two submissions at once one sees the other's result.
"""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import FacefareError
from models.log.cosignatures import Cosigner, cosign
from models.log.notes import (
    Checkpoint,
    NoteRefused,
    check_checkpoint,
    is_key_name,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
)
from models.log.proofs import ProofRefused, check_consistency
from models.log.submissions import Submission, read_submission
from models.log.tree import EMPTY_ROOT
from models.wire.keys import load_signing_key, save_private_key

_TEMPLATE = """\
# This witness. Its name is like a host name and path, no scheme.
name = "{name}"

# The logs it cosigns, each by the key that "facefare ledger key" prints there.
# [[logs]]
# key = "fares.example/city+0a1b2c3d+AXX…"
"""


class WitnessError(FacefareError):
    """The witness cannot be started."""


class SubmissionRefused(FacefareError):
    """A submission that is not cosigned."""


class Malformed(SubmissionRefused):
    """It cannot be read, or its old size is larger than its new one."""


class UnknownLog(SubmissionRefused):
    """This witness does not know the log."""


class NotSigned(SubmissionRefused):
    """The checkpoint is not signed by the log's key."""


class ProofWrong(SubmissionRefused):
    """The checkpoint is not shown to continue the one before it."""


class Conflict(SubmissionRefused):
    """The witness has seen another size than ``old``, or another root; ``size`` is what it saw."""

    def __init__(self, size: int, reason: str) -> None:
        super().__init__(reason)
        self.size = size


class LogSettings(BaseModel):
    """A log that the witness cosigns, by its public key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str


class WitnessFile(BaseModel):
    """The contents of ``witness.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=120)
    logs: list[LogSettings] = []


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness that is ready to answer."""

    name: str
    key: Ed25519PrivateKey
    logs: Mapping[str, Ed25519PublicKey]
    memory: Memory
    clock_s: Callable[[], float]

    @property
    def cosigner(self) -> Cosigner:
        """What logs are told about it."""
        return Cosigner(self.name, self.key.public_key())


class Memory:
    """The newest checkpoint cosigned for each log, in a SQLite file."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise WitnessError(
                f"{path} is missing: a witness that forgot what it saw must not go on. Restore "
                "the file, or make a new witness with a new key"
            )
        self._path = path

    @staticmethod
    def create(path: Path) -> None:
        """Make an empty memory; an existing one is never overwritten."""
        if path.exists():
            raise WitnessError(f"{path} exists already")
        with closing(_connect(path)) as connection:
            connection.execute(
                "CREATE TABLE cosigned "
                "(origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL)"
            )

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """A transaction nobody else is in; it is on disk when the block ends."""
        with closing(_connect(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def newest(self, origin: str) -> Checkpoint:
        """The checkpoint that was cosigned last, the empty log's if none was."""
        with self.alone() as connection:
            return _newest(connection, origin)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _newest(connection: sqlite3.Connection, origin: str) -> Checkpoint:
    row = connection.execute(
        "SELECT size, root FROM cosigned WHERE origin = ?", (origin,)
    ).fetchone()
    return Checkpoint(origin, 0, EMPTY_ROOT) if row is None else Checkpoint(origin, *row)


def create_witness(folder: Path, name: str) -> None:
    """Make the files of a new witness in ``folder``."""
    if not is_key_name(name):
        raise WitnessError(f"{name!r} cannot name a witness: use no spaces and no plus sign")
    if (folder / "witness.toml").exists():
        raise WitnessError(f"{folder} holds a witness already")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_private_key(folder / "witness.pem", Ed25519PrivateKey.generate())
    Memory.create(folder / "witness.sqlite")
    (folder / "witness.toml").write_text(_TEMPLATE.format(name=name), encoding="utf-8")


def open_witness(folder: Path, clock_s: Callable[[], float]) -> Witness:
    """The witness in ``folder``; raise ``WitnessError`` with what is wrong with it."""
    path = folder / "witness.toml"
    try:
        settings = WitnessFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        logs = dict(parse_verifier_key(log.key) for log in settings.logs)
    except FileNotFoundError as error:
        raise WitnessError(
            f"{folder} holds no witness; make one with 'facefare witness init'"
        ) from error
    except (OSError, tomllib.TOMLDecodeError, ValidationError, NoteRefused) as error:
        raise WitnessError(f"{path}: {error}") from error
    if len(logs) < len(settings.logs):
        raise WitnessError(f"{path} names a log twice; one origin has one key")
    key = load_signing_key(folder / "witness.pem")
    return Witness(settings.name, key, logs, Memory(folder / "witness.sqlite"), clock_s)


def add_checkpoint(witness: Witness, text: str) -> str:
    """Cosign the submitted checkpoint and return the signature line.

    Raises a ``SubmissionRefused`` that says which rule was broken; nothing is kept then.
    """
    submission, new = _read(witness, text)
    with witness.memory.alone() as connection:
        seen = _newest(connection, new.origin)
        _check_continues(seen, submission, new)
        connection.execute(
            "INSERT INTO cosigned VALUES (?, ?, ?) "
            "ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root",
            (new.origin, new.size, new.root),
        )
        # Signed in here, so that its time is before that of any larger one; it leaves only
        # when the transaction is on disk.
        signed = cosign(new.body(), witness.name, witness.key, int(witness.clock_s()))
    return signed.line()


def _read(witness: Witness, text: str) -> tuple[Submission, Checkpoint]:
    try:
        submission = read_submission(text)
        claimed = parse_checkpoint(parse_note(submission.note).body)
    except NoteRefused as error:
        raise Malformed(str(error)) from error
    key = witness.logs.get(claimed.origin)
    if key is None:
        raise UnknownLog(f"this witness does not know the log {claimed.origin!r}")
    try:
        new = check_checkpoint(submission.note, claimed.origin, key)
    except NoteRefused as error:
        raise NotSigned(str(error)) from error
    if submission.old > new.size:
        raise Malformed(f"the old size {submission.old} is larger than the new one, {new.size}")
    return submission, new


def _check_continues(seen: Checkpoint, submission: Submission, new: Checkpoint) -> None:
    if seen.size != submission.old:
        raise Conflict(seen.size, f"the newest cosigned size is {seen.size}")
    if seen.size == new.size and seen.root != new.root:
        raise Conflict(seen.size, f"another log of {seen.size} entries was cosigned before")
    try:
        check_consistency(seen.size, seen.root, new.size, new.root, submission.proof)
    except ProofRefused as error:
        raise ProofWrong(str(error)) from error
