"""Have every published checkpoint cosigned by others (C2SP ``tlog-witness``, the log's side).

Per witness the newest checkpoint it cosigned is kept beside our own, as a note that carries
both signatures (``ledger.witnessed``).

A witness that is away is asked again later, with growing pauses. One that has seen more
entries than we have, or others, is the alarm that all of this is for: our log was rolled
back or forked, and the trouble says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from ledger.checkpoints import kept_checkpoint
from ledger.election import SUBMITTER, election
from ledger.ledger import Ledger
from ledger.proving import consistency
from ledger.witnessed import Standing, WitnessFiles
from models.bounded import Bound, ask
from models.errors import FacefareError, sentence
from models.log.cosignatures import Cosigner, find_cosignature
from models.log.notes import (
    Checkpoint,
    NoteRefused,
    Signature,
    parse_note,
    parse_signature,
    parse_size,
)
from models.log.submissions import SIZE_TYPE, Submission
from models.settings import WitnessSettings

TIMEOUT_S = 5.0
PAUSE_S_MAX = 300.0
_TICK_S = 0.5
_BOUND = Bound(bytes_max=16_384, seconds_max=2 * TIMEOUT_S)

_log = logging.getLogger(__name__)


class WitnessTrouble(FacefareError):
    """A witness did not cosign."""


class WitnessContradicts(WitnessTrouble):
    """A witness has seen another history of this log than ours."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered: status, media type, text."""

    status: int
    media_type: str
    text: str


Post = Callable[[str, str], Answer]
"""Send a text to a URL; raises ``WitnessTrouble`` where nobody answers."""


def standings(ledger: Ledger) -> tuple[Standing, ...]:
    """How far each configured witness has come."""
    return tuple(files.standing() for files in _files(ledger))


def cosigned_checkpoint(ledger: Ledger) -> str:
    """The newest checkpoint that a witness cosigned, with all its cosignatures; or empty."""
    kept = [files for files in _files(ledger) if files.cosigned() is not None]
    notes = [(files.standing().size, files.note()) for files in kept]
    if not notes:
        return ""
    size, newest = max(notes, key=lambda note: note[0])
    body = parse_note(newest).body
    others = [parse_note(note) for at, note in notes if at == size and note != newest]
    lines = [signature.line() for other in others if other.body == body
             for signature in other.signatures[1:]]  # fmt: skip
    return newest + "".join(lines)


def _files(ledger: Ledger) -> list[WitnessFiles]:
    return [WitnessFiles(ledger, settings) for settings in ledger.settings.witnesses]


def submit(ledger: Ledger, settings: WitnessSettings, post: Post) -> Checkpoint:
    """Have the kept checkpoint cosigned by one witness and keep its cosignature.

    Raises ``WitnessContradicts`` where the witness has seen another history, and
    ``WitnessTrouble`` for everything else that went wrong.
    """
    files = WitnessFiles(ledger, settings)
    public = ledger.log_key.public_key()
    new, note = kept_checkpoint(ledger.checkpoint_file, ledger.settings.origin, public)
    answer = _ask(ledger, settings, files.standing().size, new, note, post)
    if answer.status == 409:
        seen = _seen_size(answer, new)
        answer = _ask(ledger, settings, seen, new, note, post)
    if answer.status == 409:
        raise WitnessContradicts(
            f"the witness has cosigned another log of {new.size} entries: one of the two was "
            "made up, or another ledger uses this key"
        )
    if answer.status == 422:
        raise WitnessContradicts("the witness has cosigned a log that ours does not continue")
    if answer.status != 200:
        raise WitnessTrouble(f"the witness answered {answer.status}: {answer.text.strip()[:200]}")
    files.keep(note, _cosignature(new, answer.text, files.cosigner))
    return new


def _ask(
    ledger: Ledger, settings: WitnessSettings, old: int, new: Checkpoint, note: str, post: Post
) -> Answer:
    if old > new.size:
        raise WitnessContradicts(
            f"the witness has cosigned {old} entries, but only {new.size} are here: the log "
            "was rolled back, or a backup was restored"
        )
    proof = tuple(consistency(ledger, old, new.size))
    return post(f"{settings.url.rstrip('/')}/add-checkpoint", Submission(old, proof, note).text())


def _seen_size(answer: Answer, new: Checkpoint) -> int:
    if answer.media_type != SIZE_TYPE:
        raise WitnessTrouble("the witness refused without saying which size it saw")
    try:
        return parse_size(answer.text.removesuffix("\n"))
    except NoteRefused as error:
        raise WitnessTrouble(f"the witness said no size: {error}") from error


def _cosignature(new: Checkpoint, text: str, by: Cosigner) -> Signature:
    try:
        lines = [parse_signature(line) for line in text.splitlines()]
        return find_cosignature(new.body(), lines, by)[0]
    except NoteRefused as error:
        raise WitnessTrouble(f"the witness did not cosign: {error}") from error


def post_text(client: httpx.Client) -> Post:
    """Send over HTTP; redirects are not followed, the key decides who may cosign."""

    def post(url: str, text: str) -> Answer:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        try:
            response = ask(client, "POST", url, content=text.encode(), headers=headers,
                           bound=_BOUND, timeout_s=TIMEOUT_S)  # fmt: skip
        except httpx.HTTPError as error:
            raise WitnessTrouble(f"the witness at {url} cannot be reached: {error}") from error
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return Answer(response.status_code, media_type, response.text)

    return post


class Submitter:
    """A thread that submits each new checkpoint to every witness; of all workers' one does."""

    def __init__(self, ledger: Ledger, pause_s_first: float = 1.0) -> None:
        self._ledger, self._pause_s_first = ledger, pause_s_first
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pauses_s: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._election = election(ledger, SUBMITTER)

    def start(self) -> None:
        """Begin; without any witness in the settings there is nothing to do."""
        if self._ledger.settings.witnesses:
            self._thread = threading.Thread(target=self._run, name="witnesses", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the submission it is at."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._election.resign()

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S) as client:
            post = post_text(client)
            while not self._stop.wait(_TICK_S):
                if not self._elected():
                    continue
                for settings in self._ledger.settings.witnesses:
                    if time.monotonic() >= self._due.get(settings.key, 0.0):
                        self._step(settings, post)

    def _elected(self) -> bool:
        try:
            return self._election.won()
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            _log.error("no checkpoint is shown to a witness: %s", sentence(error))
            return False

    def _step(self, settings: WitnessSettings, post: Post) -> None:
        files = WitnessFiles(self._ledger, settings)
        try:
            self._show(files, settings, post)
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            _log.error("the witness %s did not cosign: %s", files.cosigner.name, sentence(error))

    def _show(self, files: WitnessFiles, settings: WitnessSettings, post: Post) -> None:
        """Have what is new cosigned; a failure is kept, and raised unless it was kept before."""
        try:
            if self._has_new(files):
                submit(self._ledger, settings, post)
            self._pauses_s.pop(settings.key, None)
        except Exception as error:
            pause_s = self._pauses_s.get(settings.key, self._pause_s_first)
            self._due[settings.key] = time.monotonic() + pause_s
            self._pauses_s[settings.key] = min(2 * pause_s, PAUSE_S_MAX)
            if files.complain(sentence(error), contradicts=isinstance(error, WitnessContradicts)):
                raise

    def _has_new(self, files: WitnessFiles) -> bool:
        origin, public = self._ledger.settings.origin, self._ledger.log_key.public_key()
        kept, _ = kept_checkpoint(self._ledger.checkpoint_file, origin, public)
        found = files.cosigned()
        return found is None or found[0] != kept or bool(files.standing().trouble)
