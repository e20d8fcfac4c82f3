"""Structured logs: one JSON object a line, and never whose ride it was.

    {"at":"2026-11-22T18:49:07.250Z","level":"info","from":"gate.metrics","says":"passage",
     "phase":"open"}

Code here logs no account, no template and no digits. Should one slip into a message, an
error's text or a traceback, long hexadecimal numbers are struck out on the way.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from models.wire.times import format_utc

STRUCK_OUT = "[struck out]"
_LONG_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{16,}(?![0-9A-Za-z])")
_EXTRA = ("fault", "phase", "reason", "event", "detail")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without anybody's account."""
        line = {
            "at": format_utc(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "from": record.name,
            "says": record.getMessage(),
            **{name: str(record.__dict__[name]) for name in _EXTRA if name in record.__dict__},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: strike_out(text) for name, text in line.items()})


def strike_out(text: str) -> str:
    """The text without account ids, keys and hashes."""
    return _LONG_HEX.sub(STRUCK_OUT, text)


def set_up(out: TextIO, environment: Mapping[str, str] = os.environ) -> logging.Handler | None:
    """With FACEFARE_LOG=json, have every log of this program go to ``out`` as JSON lines."""
    if environment.get("FACEFARE_LOG") != "json":
        return None
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every address asked
    return handler
