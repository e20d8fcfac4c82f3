"""The files of a feed, read from a directory or a ZIP, within bounds.

Only files with a known name are read; a ZIP is never unpacked to disk. A file may not grow
beyond ``FILE_BYTES_MAX`` whatever its header claims, so a small archive cannot fill memory.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger.fares.problems import FareError, Problems

FILE_BYTES_MAX = 64 * 2**20
FEED_BYTES_MAX = 192 * 2**20
ZIP_ENTRIES_MAX = 1_000


# What zipfile raises for a damaged, encrypted or unknown archive.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
)


class FeedUnreadable(FareError):
    """The feed cannot be opened at all."""


@dataclass(frozen=True, slots=True)
class FeedFiles:
    """The bytes of the known files of one feed."""

    name: str
    data: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Content hash over names and bytes; the same for a directory and its ZIP."""
        digest = hashlib.sha256()
        for name in sorted(self.data):
            body = hashlib.sha256(self.data[name]).hexdigest()
            digest.update(f"{name} {body}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file: its line number and its cells by field name, spaces trimmed."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file: the field names of its first line and its records. Missing files are empty."""

    file: str
    fields: tuple[str, ...]
    lines: tuple[Line, ...]


def read_files(path: Path, known: Iterable[str]) -> FeedFiles:
    """Read the ``known`` files found in ``path``; raise ``FeedUnreadable`` where that fails."""
    if path.is_dir():
        data = {name: _read_plain(path / name) for name in known if (path / name).is_file()}
    elif path.is_file():
        data = _read_zip(path, set(known))
    else:
        raise FeedUnreadable(f"{path} is neither a directory nor a ZIP file; check the path")
    if not data:
        raise FeedUnreadable(f"{path} holds no GTFS file at its top level; check the path")
    if sum(map(len, data.values())) > FEED_BYTES_MAX:
        raise FeedUnreadable(f"{path} is larger than {FEED_BYTES_MAX} bytes; it is not a feed")
    return FeedFiles(path.name, data)


def _read_plain(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(FILE_BYTES_MAX + 1), path.name)


def _bounded(body: bytes, name: str) -> bytes:
    if len(body) > FILE_BYTES_MAX:
        raise FeedUnreadable(f"{name} is larger than {FILE_BYTES_MAX} bytes; it was not read")
    return body


def _read_zip(path: Path, known: set[str]) -> dict[str, bytes]:
    data: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) > ZIP_ENTRIES_MAX:
                raise FeedUnreadable(f"{path.name} has {len(names)} entries; it is not a feed")
            for name in names:
                if name in data:
                    raise FeedUnreadable(f"{path.name} holds {name} twice; send it once")
                if name in known:
                    with archive.open(name) as entry:
                        data[name] = _bounded(entry.read(FILE_BYTES_MAX + 1), name)
                if sum(map(len, data.values())) > FEED_BYTES_MAX:
                    raise FeedUnreadable(f"{path.name} unpacks to too much; it is not a feed")
    except _DAMAGED as error:
        raise FeedUnreadable(f"{path.name} cannot be unpacked: {error}") from error
    return data


def read_sheet(files: FeedFiles, name: str, problems: Problems) -> Sheet:
    """Parse one file as the CSV of GTFS; what is wrong goes into ``problems``."""
    empty = Sheet(name, (), ())
    if name not in files.data:
        return empty
    try:
        text = files.data[name].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.error(name, 0, "", "", f"UTF-8 text; byte {error.start} is not")
        return empty
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(cell.strip() for cell in next(reader, []))
        if not header or len(set(header)) != len(header):
            problems.error(name, 1, "", "", "a first line that names each field once")
            return empty
        return Sheet(name, header, tuple(_lines(reader, header, name, problems)))
    except csv.Error as error:
        problems.error(name, reader.line_num, "", "", f"comma-separated values: {error}")
        return empty


def _lines(
    reader: Iterable[list[str]], header: tuple[str, ...], name: str, problems: Problems
) -> Iterable[Line]:
    width = len(header)
    for cells in reader:
        number: int = reader.line_num  # type: ignore[attr-defined]
        if not any(cells):
            continue
        if len(cells) != width:
            problems.error(name, number, "", "", f"{width} values, found {len(cells)}")
            continue
        yield Line(number, dict(zip(header, map(str.strip, cells), strict=True)))
