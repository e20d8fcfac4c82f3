"""Data keys that can be taken away: what they sealed is gone with them, backups included.

Every rider has a data key of 32 random bytes. It is wrapped with AES-256-GCM under a
master key and lies in a small SQLite file apart from the databases, so a database backup
holds only sealed bytes. Erasing one data key erases the rider from every copy.

A sealed value is ``0x01 || nonce (12) || ciphertext and tag``; the *context* a caller
gives is authenticated but not stored, so a template cannot be opened as a photo, nor one
rider's as another's.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.errors import FacefareError
from models.wire.keys import write_private_file

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class VaultError(FacefareError):
    """The vault cannot be opened or does not belong to this data."""


class KeyErased(VaultError):
    """There is no data key of this name: it was erased, or never made."""


def seal(key: bytes, plaintext: bytes, context: str) -> bytes:
    """Encrypt ``plaintext`` under a 32-byte ``key``, bound to ``context``."""
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Decrypt what ``seal`` made; raise ``VaultError`` if anything about it was changed."""
    return _unseal(AESGCM(key), sealed, context)


def _unseal(cipher: AESGCM, sealed: bytes, context: str) -> bytes:
    if sealed[:1] != _VERSION:
        raise VaultError("the sealed value has an unknown version")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return cipher.decrypt(nonce, ciphertext, context.encode())
    except (InvalidTag, ValueError) as error:
        raise VaultError("the sealed value does not open with this key") from error


def make_master_key(path: Path) -> None:
    """Write a new master key to ``path``; an existing one is never overwritten."""
    write_private_file(path, os.urandom(KEY_BYTES))


class Vault:
    """The data keys in the file at ``path``, wrapped by the master key in ``master_file``."""

    def __init__(self, path: Path, master_file: Path) -> None:
        self._path = path
        self._here = threading.local()
        try:
            self._master = master_file.read_bytes()
        except OSError as error:
            raise VaultError(f"the master key {master_file} cannot be read: {error}") from error
        if len(self._master) != KEY_BYTES:
            raise VaultError(f"the master key {master_file} is not {KEY_BYTES} bytes long")
        try:
            with closing(self._connect()) as connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS data_key (name TEXT PRIMARY KEY, wrapped BLOB)"
                )
        except sqlite3.Error as error:
            raise VaultError(f"the vault {path} cannot be opened: {error}") from error

    def __getstate__(self) -> tuple[Path, bytes]:
        return self._path, self._master  # another process opens the file for itself

    def __setstate__(self, state: tuple[Path, bytes]) -> None:
        self._path, self._master = state
        self._here = threading.local()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        # A rollback journal and overwritten pages: an erased key leaves no copy in a WAL.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _look_up(self, query: str, value: str) -> list[tuple[str, bytes]]:
        """(name, wrapped key) of what is asked for; opening the file anew would cost more."""
        if not hasattr(self._here, "connection"):
            self._here.connection = self._connect()
            # Each thread has one, and the system keeps the file in memory anyway.
            self._here.connection.execute("PRAGMA cache_size=-256")  # kB
        return list(self._here.connection.execute(query, (value,)).fetchall())

    def create(self, name: str) -> bytes:
        """Make, keep and return the data key called ``name``; return the old one if it exists."""
        wrapped = seal(self._master, os.urandom(KEY_BYTES), name)
        with closing(self._connect()) as connection:
            connection.execute("INSERT OR IGNORE INTO data_key VALUES (?, ?)", (name, wrapped))
        return self.key(name)

    def key(self, name: str) -> bytes:
        """Return the data key called ``name``; raise ``KeyErased`` where there is none."""
        found = self._look_up("SELECT name, wrapped FROM data_key WHERE name = ?", name)
        if not found:
            raise KeyErased("the data key of this record is gone: it was erased")
        return unseal(self._master, found[0][1], name)

    def keys(self, names: Iterable[str]) -> dict[str, bytes]:
        """The data keys of those ``names`` that have one, read in one go."""
        asked = json.dumps(list(names))  # one parameter, however many names
        rows = self._look_up(
            "SELECT name, wrapped FROM data_key WHERE name IN (SELECT value FROM json_each(?))",
            asked,
        )
        cipher = AESGCM(self._master)
        return {name: _unseal(cipher, wrapped, name) for name, wrapped in rows}

    def erase(self, name: str) -> None:
        """Delete the data key called ``name``; whatever it sealed is unreadable from now on."""
        with closing(self._connect()) as connection:
            connection.execute("DELETE FROM data_key WHERE name = ?", (name,))
