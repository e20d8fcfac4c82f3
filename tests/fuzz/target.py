"""What a target is: a reader and the inputs that damage starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.errors import FacefareError

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """A reader and the inputs that mutation starts from: ``seeds`` are read, ``odd`` refused."""

    read: Read
    seeds: tuple[bytes, ...]
    odd: tuple[bytes, ...] = ()

    def run(self, data: bytes) -> None:
        """Read ``data``; an error with a sentence is an answer, anything else escapes."""
        try:
            self.read(data)
        except FacefareError as error:
            assert str(error), "an error without a sentence"


def of_text(read: Callable[[str], object]) -> Read:
    """A reader of text, given bytes as a careless caller would."""
    return lambda data: read(data.decode("utf-8", errors="replace"))
