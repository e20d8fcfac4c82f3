"""Bring taps out and gallery and deny list in, for as long as the gate runs.

Both directions keep trying with growing pauses; neither ever holds up the door.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

from gate.client import TAPS_PER_REQUEST_MAX, Client
from gate.errors import ServerUnreachable
from gate.identity import GateIdentity
from gate.outbox import Outbox
from models.errors import FacefareError
from models.wire.gallery import GalleryRefused, GallerySnapshot, open_gallery

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 30.0
REFRESH_S = 15.0

_STATUS = {
    "accepted": "accepted",
    "replayed": "accepted",
    "quarantined": "quarantined",
    "refused": "refused",
}
"""The ledger's words for a tap, and what each means here."""

log = logging.getLogger(__name__)


def deliver(outbox: Outbox, client: Client) -> int:
    """Send one batch of waiting taps and record the answers; return how many were answered.

    A tap is settled only by the ledger's own word on that tap. Raises ``ServerUnreachable``
    or ``ServerRefused`` with nothing settled.
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
    outbox.settle(settled)
    return len(waiting)


def fetch_gallery(identity: GateIdentity, client: Client, have: int) -> GallerySnapshot | None:
    """Fetch, check and keep a newer gallery; None while ``have`` is the newest."""
    sealed = client.gallery(have)
    if sealed is None:
        return None
    snapshot = _open(identity, sealed, have)
    _replace(identity.gallery_path, sealed)
    return snapshot


def kept_gallery(identity: GateIdentity) -> GallerySnapshot | None:
    """The gallery on disk, decrypted in memory only; None where there is none to be used."""
    try:
        return _open(identity, identity.gallery_path.read_bytes(), 0)
    except FileNotFoundError:
        return None
    except GalleryRefused as error:
        log.error("%s is left aside: %s", identity.gallery_path, error)
        return None


def forget_gallery(identity: GateIdentity) -> None:
    """Delete the kept gallery: this gate may not search anybody any more."""
    identity.gallery_path.unlink(missing_ok=True)


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
    blocked = client.blocked_accounts()
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


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also through a power failure."""
    fresh = path.with_suffix(path.suffix + ".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


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
        self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                more = self._work()
                failures, self.problem = 0, ""
            except FacefareError as error:
                more = False
                failures += 1
                if str(error) != self.problem:
                    log.warning("%s: %s", self._thread.name, error)
                self.problem = str(error)
            except Exception:
                # A thread that ends would be a gate that silently stops delivering.
                log.exception("%s: unexpected; trying again", self._thread.name)
                more = False
                failures += 1
            if not more:
                self._wake.wait(self._next_pause_s(failures))
                self._wake.clear()

    def _next_pause_s(self, failures: int) -> float:
        if not failures:
            return self._pause_s
        longest = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(failures - 1, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
