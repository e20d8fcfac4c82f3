"""Uploaded photos stay in memory: a temporary file would be a copy of a face on a disk.

Flask writes larger uploads to temporary files. An application that takes photos sets

    app.request_class = UploadsInMemory
    app.config["MAX_CONTENT_LENGTH"] = REQUEST_BYTES_MAX

and the second line keeps memory bounded.
"""

from __future__ import annotations

from io import BytesIO
from typing import IO

from flask import Request

from enrollment.photos import PHOTO_BYTES_MAX
from enrollment.templating import PHOTOS_MAX

REQUEST_BYTES_MAX = PHOTOS_MAX * PHOTO_BYTES_MAX + 100_000
TAKES_PHOTOS = frozenset({"enrollment.enroll", "enrollment.take_photos"})
"""The addresses where signed-in staff may send so much."""


class UploadsInMemory(Request):
    """A request that never writes an uploaded file to disk."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()
