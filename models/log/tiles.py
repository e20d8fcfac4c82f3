"""Where the tree's hashes are found over HTTP (C2SP ``tlog-tiles``).

    tile/<L>/<N>            256 hashes of tree level 8·L, one after another: 8,192 bytes
    tile/<L>/<N>.p/<W>      the first W of them, at the right edge of the tree
    tile/entries/<N>[.p/W]  the entries themselves, each after its length in two bytes

``N`` is written in groups of three digits, all but the last marked with x: 1234067 is
``x001/x234/067``. From tiles alone anyone computes every proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from models.errors import FacefareError

TILE_WIDTH = 256
TILE_LEVELS = 8
ENTRY_BYTES_MAX = 2**16 - 1

_LEVEL = r"(?P<level>0|[1-9][0-9]?|entries)"
_NUMBER = r"(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
_WIDTH = r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
_PATH = re.compile(rf"{_LEVEL}/{_NUMBER}{_WIDTH}")


class TileRefused(FacefareError):
    """A path that names no tile, or a tile that the tree does not have."""


@dataclass(frozen=True, slots=True)
class Tile:
    """``width`` hashes from position ``number * 256`` of tree level ``8 * level``.

    ``level`` is None for a bundle of entries.
    """

    level: int | None
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below ``tile/``."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level is None else str(self.level)
        return f"{level}/{number}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")

    def check_within(self, size: int) -> None:
        """Raise ``TileRefused`` unless a tree of ``size`` entries has all of this tile."""
        available = size >> TILE_LEVELS * (self.level or 0)
        if self.number * TILE_WIDTH + self.width > available:
            raise TileRefused(f"a tree of {size} entries does not have the tile {self.path}")


def parse_tile(path: str) -> Tile:
    """Read a path below ``tile/``; raise ``TileRefused`` unless it is written the one way."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise TileRefused(f"{path!r} is not the path of a tile")
    level = None if match["level"] == "entries" else int(match["level"])
    number = int(match["number"].replace("x", "").replace("/", ""))
    tile = Tile(level, number, int(match["width"] or TILE_WIDTH))
    if tile.path != path or (level or 0) > 63 or tile.width > TILE_WIDTH:
        raise TileRefused(f"{path!r} is not the path of a tile")
    return tile


def bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as ``tile/entries`` serves them."""
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise TileRefused(f"an entry has at most {ENTRY_BYTES_MAX} bytes, not {len(entry)}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)
