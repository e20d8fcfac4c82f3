"""Bring taps out and gallery and deny list in, for as long as the gate runs.

Both directions keep trying with growing pauses; neither ever holds up the door.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.client import TAPS_PER_REQUEST_MAX, Client
from gate.errors import ServerUnreachable
from gate.identity import GateIdentity
from gate.outbox import Outbox
from models.errors import FacefareError
from models.wire.gallery import GalleryRefused, GallerySnapshot, open_gallery
from models.wire.gallery_changes import is_change, open_change

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 30.0
REFRESH_S = 1.0
"""Between two questions for news; the server holds back the answer to most of them."""

_STATUS = {
    "accepted": "accepted",
    "replayed": "accepted",
    "quarantined": "quarantined",
    "refused": "refused",
}
"""The ledger's words for a tap, and what each means here."""

log = logging.getLogger(__name__)


Told = Callable[[str, Mapping[str, Any]], None]


def nobody(tap_id: str, answer: Mapping[str, Any]) -> None:
    """No screen waits for the ledger's answers."""


def deliver(outbox: Outbox, client: Client, told: Told = nobody) -> int:
    """Send one batch of waiting taps and record the answers; return how many were answered.

    A tap is settled only by the ledger's own word on that tap; ``told`` hears each. Raises
    ``ServerUnreachable`` or ``ServerRefused`` with nothing settled.
    """
    waiting = outbox.pending(TAPS_PER_REQUEST_MAX)
    if not waiting:
        return 0
    answers = client.send_taps([signed for _, signed in waiting])
    settled = []
    for (tap_id, _), answer in zip(waiting, answers, strict=True):
        status = _STATUS.get(str(answer.get("status")))
        if status is None or answer.get("tap_id", tap_id) not in (tap_id, None):
            raise ServerUnreachable("the server's answer to a tap cannot be read")
        if status != "accepted":
            log.error("the ledger %s tap %s: %s", status, tap_id, answer.get("problem"))
        settled.append((tap_id, status, json.dumps(answer)))
    outbox.settle(settled, client.now())
    for (tap_id, _), answer in zip(waiting, answers, strict=True):
        told(tap_id, answer)
    return len(waiting)


def fetch_gallery(identity: GateIdentity, client: Client, have: int) -> GallerySnapshot | None:
    """Fetch, check and keep a newer gallery; None while ``have`` is the newest.

    Where the server sends only what changed and that does not fit the gallery on this gate's
    disk, the whole gallery is fetched instead.
    """
    sealed = client.gallery(have, _kept_version(identity) if have >= 0 else None)
    if sealed is not None and is_change(sealed):
        try:
            return _keep_change(identity, sealed, have)
        except GalleryRefused as error:
            log.warning("a change of the gallery is refused, the whole is fetched: %s", error)
            sealed = client.gallery(-1)
    if sealed is None:
        return None
    snapshot = _open(identity, sealed, have)
    if _replace(identity.gallery_path, sealed):
        _change_path(identity).unlink(missing_ok=True)
    return snapshot


def _keep_change(identity: GateIdentity, sealed: bytes, have: int) -> GallerySnapshot:
    try:
        base = _open(identity, identity.gallery_path.read_bytes(), 0)
    except FileNotFoundError as error:
        raise GalleryRefused("there is no gallery here that it could change") from error
    snapshot = _changed(identity, base, sealed, have)
    _replace(_change_path(identity), sealed)
    return snapshot


def _change_path(identity: GateIdentity) -> Path:
    """The newest change, exactly as received: it counts from the whole gallery beside it."""
    return identity.gallery_path.with_name("gallery-change.sealed")


def _kept_version(identity: GateIdentity) -> int | None:
    """What the gallery on disk says of its version; whether that is true shows when it opens."""
    try:
        with identity.gallery_path.open("rb") as file:
            return int(file.readline(200).split()[2])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def kept_gallery(identity: GateIdentity) -> GallerySnapshot | None:
    """The gallery on disk, decrypted in memory only; None where there is none to be used."""
    try:
        kept = _open(identity, identity.gallery_path.read_bytes(), 0)
        return _with_kept_change(identity, kept)
    except FileNotFoundError:
        return None
    except GalleryRefused as error:
        log.error("%s is left aside: %s", identity.gallery_path, error)
        return None


def _with_kept_change(identity: GateIdentity, kept: GallerySnapshot) -> GallerySnapshot:
    """``kept`` with the change on disk; a change of the gallery before it is long part of it.

    Raises ``GalleryRefused`` for a damaged change: without it, riders who left would stay.
    """
    try:
        sealed = _change_path(identity).read_bytes()
    except FileNotFoundError:
        return kept
    words = sealed.split(b"\n", 1)[0].split()
    if len(words) == 4 and words[2].isdigit() and int(words[2]) < kept.version:
        return kept
    return _changed(identity, kept, sealed, kept.version)


def forget_gallery(identity: GateIdentity) -> None:
    """Delete the kept gallery: this gate may not search anybody any more."""
    identity.gallery_path.unlink(missing_ok=True)
    _change_path(identity).unlink(missing_ok=True)


def _changed(
    identity: GateIdentity, base: GallerySnapshot, sealed: bytes, newest_seen: int
) -> GallerySnapshot:
    return open_change(
        sealed, base, identity.box_key, identity.enrollment_key, newest_version_seen=newest_seen
    )


def _open(identity: GateIdentity, sealed: bytes, newest_seen: int) -> GallerySnapshot:
    return open_gallery(
        sealed,
        gate=identity.file.gate,
        box_private_key=identity.box_key,
        enrollment_public_key=identity.enrollment_key,
        newest_version_seen=newest_seen,
    )


def fetch_blocked(identity: GateIdentity, client: Client) -> dict[str, str]:
    """Fetch and keep the deny list."""
    return _keep_blocked(identity, client.blocked_accounts())


def fetch_news_of_blocked(identity: GateIdentity, client: Client) -> dict[str, str]:
    """The deny list once it has changed, or after the time that a gate may wait for that."""
    return _keep_blocked(identity, client.blocked_accounts(news=True))


def _keep_blocked(identity: GateIdentity, blocked: dict[str, str]) -> dict[str, str]:
    _replace(identity.standings_path, json.dumps(blocked).encode())
    return blocked


def kept_blocked(identity: GateIdentity) -> dict[str, str] | None:
    """The deny list on disk; None where none was ever received, or the file is damaged."""
    try:
        blocked: dict[str, str] = json.loads(identity.standings_path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        log.error("%s is damaged and left aside", identity.standings_path)
        return None
    return blocked


def kept_blocked_at(identity: GateIdentity) -> datetime | None:
    """When the deny list on disk was received; None where there is none."""
    try:
        return datetime.fromtimestamp(identity.standings_path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> bool:
    """Write a file whole or not at all, also through a power failure; False where it was not."""
    fresh = path.with_suffix(path.suffix + ".new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        # What was received is used all the same; after a restart it is fetched again.
        log.error("%s cannot be written: %s", path, error)
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        return False
    return True


class Repeating:
    """Calls ``work`` in a thread: at once again while it returns True, else after a pause.

    An error is logged once until it changes, and the pauses grow with jitter so that a
    city's gates do not come back all at the same moment.
    """

    def __init__(self, name: str, work: Callable[[], bool], pause_s: float) -> None:
        self._work = work
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin working."""
        self._thread.start()

    def wake(self) -> None:
        """Work now rather than after the pause."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Stop and wait for the thread."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            asked_s = 0.0
            try:
                more = self._work()
                failures, self.problem = 0, ""
            except FacefareError as error:
                more = False
                failures += 1
                if str(error) != self.problem and not self._stop.is_set():
                    log.warning("%s: %s", self._thread.name, error)
                self.problem = str(error)
                asked_s = error.retry_after_s if isinstance(error, ServerUnreachable) else 0.0
            except Exception:
                if self._stop.is_set():
                    return  # the connection was closed under a question that waited
                # A thread that ends would be a gate that silently stops delivering.
                log.exception("%s: unexpected; trying again", self._thread.name)
                more = False
                failures += 1
            if not more:
                # A new tap wakes this, but not before the server wants to hear of it.
                self._stop.wait(asked_s)
                self._wake.wait(self._next_pause_s(failures))
                self._wake.clear()

    def _next_pause_s(self, failures: int) -> float:
        if not failures:
            return self._pause_s
        longest = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(failures - 1, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
