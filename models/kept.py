"""The newest checkpoint at rest: one file outside the database, moved by compare-and-swap.

Of two programs that both extend checkpoint A, one wins and the other has to look again:
that is what keeps a log from being signed in two versions.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.errors import FacefareError
from models.log.notes import Checkpoint, sign_checkpoint
from models.log.tree import EMPTY_ROOT


class CheckpointRefused(FacefareError):
    """The log contradicts its kept checkpoint; nothing is signed."""


class CheckpointMissing(CheckpointRefused):
    """There is no kept checkpoint to compare with."""


class CheckpointMoved(FacefareError):
    """Another program published a checkpoint meanwhile."""


class CheckpointFile:
    """The kept checkpoint: one file, replaced whole, only by who knows what it holds."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """The kept note; raise ``CheckpointMissing`` where there is none."""
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise CheckpointMissing(
                f"the kept checkpoint {self._path} is missing, so a rollback could not be seen; "
                "restore it from a backup or from a witness"
            ) from error
        except UnicodeDecodeError as error:
            raise CheckpointRefused(f"{self._path} does not hold a checkpoint") from error

    def swap(self, old: str | None, new: str) -> None:
        """Replace ``old`` (None: no file) by ``new``; raise ``CheckpointMoved`` if it differs.

        When this returns, ``new`` survives a power failure.
        """
        with self._locked():
            kept = self.read() if self._path.exists() else None
            if kept != old:
                raise CheckpointMoved("another program moved the checkpoint; look again")
            replace_file(self._path, new)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_name(self._path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def replace_file(path: Path, content: str | bytes) -> None:
    """Replace the file whole; when this returns, it survives a power failure."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def keep_empty_checkpoint(path: Path, origin: str, key: Ed25519PrivateKey) -> None:
    """Keep the checkpoint of the empty log ``origin``, the one all others grow from."""
    CheckpointFile(path).swap(None, sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key))
