"""The embeddings of the research pictures, computed once and kept outside the repository.

They lie in ``$XDG_CACHE_HOME/facefare`` (``~/.cache/facefare``), under a name made from the
engine and from every file's name and size. Only research sets go there, never riders.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
from rich.progress import Progress

from models.faces.engine import Engine
from models.faces.people import People, list_pictures, read_people


def cache_directory() -> Path:
    """Where computed embeddings are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "facefare"


RECIPE = "grey, then colour, then upsampled; four views"
"""How faces are found and embedded; part of a file's name: another way makes other embeddings."""


def left_out(file: Path) -> frozenset[str]:
    """The ``person/file`` names in the first column of a table such as ``lfw-drop.tsv``."""
    if not file.is_file():
        return frozenset()
    with file.open(encoding="utf-8", newline="") as lines:
        return frozenset(row[0] for row in csv.reader(lines, delimiter="\t") if row)


def _file_for(pictures: list[Path], engine_id: str) -> Path:
    facts = [f"{path.parent.name}/{path.name}:{path.stat().st_size}" for path in pictures]
    name = hashlib.sha256("\n".join([engine_id, RECIPE, *facts]).encode()).hexdigest()[:24]
    return cache_directory() / f"{engine_id.replace(':', '-')}-{name}.npz"


def cached_people(
    directory: Path, engine: Engine, progress: Progress | None, leave_out: frozenset[str]
) -> People:
    """``read_people`` over ``directory``, from the cache where that is possible."""
    pictures = list_pictures(directory, leave_out)
    file = _file_for(pictures, engine.engine_id)
    if file.is_file():
        return load_people(file)
    task = progress.add_task(f"embedding {directory.name}") if progress else None

    def show(done: int, total: int) -> None:
        if progress and task is not None:
            progress.update(task, completed=done, total=total)

    people = read_people(pictures, engine, show)
    _save(people, file)
    return people


def _save(people: People, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(
        part,
        names=np.array(list(people.faces)),
        counts=np.array([len(rows) for rows in people.faces.values()]),
        vectors=np.concatenate(list(people.faces.values())),
        read=np.array([people.pictures, people.without_face]),
    )
    part.replace(file)


def load_people(file: Path) -> People:
    """Read a file of the cache."""
    with np.load(file, allow_pickle=False) as archive:
        parts = np.split(archive["vectors"], np.cumsum(archive["counts"])[:-1])
        faces = dict(zip(archive["names"].tolist(), parts, strict=True))
        pictures, without_face = archive["read"].tolist()
    return People(faces, pictures, without_face)
