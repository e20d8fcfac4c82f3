"""Read the code of a pass from a photograph; the picture lives in memory and ends here."""

from __future__ import annotations

import zxingcpp
from flask_babel import gettext as _

from enrollment.photos import PhotoRefused, read_photo
from models.errors import FacefareError
from models.wire.pass_text import is_pass_text


class NoPassSeen(FacefareError):
    """A photograph in which no pass can be read."""


def pass_in_photo(data: bytes) -> str:
    """The text of the pass in the photograph; raise ``NoPassSeen`` where there is none."""
    try:
        picture = read_photo(data)
    except PhotoRefused as error:
        raise NoPassSeen(_("The photo cannot be used: %(why)s.", why=str(error))) from error
    codes = zxingcpp.read_barcodes(picture)
    found = next((code.text for code in codes if is_pass_text(code.text)), None)
    if found is None:
        raise NoPassSeen(
            _("No pass can be read in the photo. Hold it flat, close and still, or paste its text.")
        )
    return found
