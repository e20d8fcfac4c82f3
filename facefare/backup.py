"""``facefare backup``: a copy of the data directory that can be put back, made while it serves.

    facefare backup FOLDER           settings, the kept checkpoints, the databases
    facefare backup FOLDER --keys    the vault and the signing keys, for another place

Who has both has everything, so they are two copies. The checkpoints are copied before the
databases: the log in the copy is then at least as long as its checkpoint says. Fares in
PostgreSQL are not copied here; that server's own tools do it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from models.errors import FacefareError
from models.options import data_option
from models.settings import DataDirectory


class BackupRefused(FacefareError):
    """The copy cannot be made; nothing was left behind."""


def back_up(data: DataDirectory, folder: Path, *, keys: bool = False) -> list[Path]:
    """Copy the data directory, or with ``keys`` its secrets, to the new ``folder``.

    Returns the files of the copy. Raises ``BackupRefused`` where the folder is in use or
    anything cannot be read or written.
    """
    data.settings()  # a folder that is none of ours is refused in words
    if folder.exists():
        raise BackupRefused(f"{folder} is there already; name a folder that is not")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        copied = [_copy(data.path, path, unfinished) for path in _chosen(data, keys)]
        unfinished.rename(folder)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BackupRefused(f"the copy could not be made, and none is left: {error}") from error
    return [folder / path for path in copied]


def _chosen(data: DataDirectory, keys: bool) -> Iterator[Path]:
    if keys:
        yield from _files(data.vault)
        yield from _files(data.keys)
        return
    yield data.settings_file
    yield from _files(data.checkpoint_file.parent)  # before the databases: see above
    yield from (path for path in _files(data.path) if path.suffix == ".sqlite")


def _files(folder: Path) -> list[Path]:
    """The files that hold something.

    SQLite's own logs and locks belong to their database, and a file that is just being
    written anew is gone a moment later.
    """
    beside = ("-wal", "-shm", "-journal", "-line", ".new")
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if not path.name.endswith(beside))


def _copy(root: Path, path: Path, target: Path) -> Path:
    """Copy one file, readable by its owner only; return its place below ``root``."""
    place = path.relative_to(root)
    copy = target / place
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy.touch(mode=0o600)
    if path.suffix == ".sqlite":
        _copy_database(path, copy)
    else:
        copy.write_bytes(path.read_bytes())
    return place


def _copy_database(path: Path, copy: Path) -> None:
    """One consistent state of a database that others go on writing."""
    with (
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        (state,) = target.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise sqlite3.DatabaseError(f"{path.name} is damaged: {state}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--keys", is_flag=True, help="Copy the vault and the keys, and nothing else.")
@data_option
def backup(folder: Path, keys: bool, data: Path) -> None:
    """Copy the data directory to the new FOLDER while the server runs.

    The vault and the keys are left out; make a second copy with --keys and keep it in another
    place: who has both has everything.
    """
    directory = DataDirectory(data)
    copied = back_up(directory, folder, keys=keys)
    size_mb = sum(path.stat().st_size for path in copied) / 1e6
    click.echo(f"{len(copied)} files, {size_mb:.1f} MB, are in {folder}.")
    if not keys and directory.settings().fares_url:
        click.echo("The fares are in PostgreSQL: copy them with pg_dump, after this copy.")
