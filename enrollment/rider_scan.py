"""Read the code of a pass from a photograph; the picture lives in memory and ends here.

Anybody may send one. A few kilobytes can be millions of pixels, so there is a limit on those,
and one photograph at a time is in memory, however many are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import zxingcpp
from flask_babel import gettext as _

from enrollment.photos import PhotoRefused, read_photo
from models.errors import FacefareError
from models.wire.pass_text import is_pass_text

FRAME_PIXELS_MAX = 4_000_000
PHOTO_PIXELS_MAX = 16_000_000  # as telephones take them
WAIT_S = 1.0


class NoPassSeen(FacefareError):
    """A photograph in which no pass can be read."""


class ScansBusy(FacefareError):
    """Others send more photographs than can be read."""


def pass_in_photo(data: bytes, pixels_max: int, scanning: Lock) -> str:
    """The text of the pass in the photograph; raise ``NoPassSeen`` where there is none.

    Raises ``ScansBusy`` where ``scanning`` is held by others for ``WAIT_S``.
    """
    with _in_turn(scanning):
        try:
            picture = read_photo(data, pixels_max)
        except PhotoRefused as error:
            raise NoPassSeen(_("The photo cannot be used: %(why)s.", why=str(error))) from error
        codes = zxingcpp.read_barcodes(picture)
    found = next((code.text for code in codes if is_pass_text(code.text)), None)
    if found is None:
        raise NoPassSeen(
            _("No pass can be read in the photo. Hold it flat, close and still, or paste its text.")
        )
    return found


@contextmanager
def _in_turn(scanning: Lock) -> Iterator[None]:
    if not scanning.acquire(timeout=WAIT_S):
        raise ScansBusy(
            _("Too many photos are being read at this moment; try again in a few seconds.")
        )
    try:
        yield
    finally:
        scanning.release()
