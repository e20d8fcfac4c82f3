"""The one shape of every benchmark's answer, and the machine it ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

Figure = dict[str, Any]


def figure(
    name: str,
    value: float | None,
    unit: str,
    target: float | None = None,
    peer: str | None = None,
    peer_value: float | None = None,
    *,
    at_least: bool = False,
    **more: Any,
) -> Figure:
    """One line of a benchmark; ``ratio`` is ours by the peer's. ``more`` may give intervals.

    ``target`` is the most that the value may be, or ``at_least`` that much is wanted.
    """
    ratio = None if value is None or not peer_value else round(value / peer_value, 4)
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "at_least": at_least,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        **more,
    }


def answer(bench: str, seed: int, figures: list[Figure]) -> dict[str, Any]:
    """What ``facefare bench NAME --json`` prints."""
    return {"bench": bench, "machine": machine(), "seed": seed, "figures": figures}


def machine() -> dict[str, Any]:
    """Enough of the machine to compare two runs."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
