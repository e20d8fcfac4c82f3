"""Shares and areas with their sample sizes and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.figures import Figure, figure
from bench.liveness_cues import Owned, area_under_curve


def rate(name: str, errors: int, of: int, target: float | None = None, **more: Any) -> Figure:
    """A share of errors with its size and Wilson's 95 % interval."""
    if of == 0:
        return figure(name, None, "share", target, reason="nothing to measure", **more)
    low, high = wilson(errors, of)
    share = round(errors / of, 4)
    return figure(name, share, "share", target, errors=errors, of=of, low=low, high=high, **more)


def wilson(errors: int, of: int) -> tuple[float, float]:
    """Wilson's score interval at 95 %."""
    z, share = 1.96, errors / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return round(max(0.0, float(middle - reach)), 4), round(min(1.0, float(middle + reach)), 4)


def area_figure(name: str, live: Owned, attacks: Owned, seed: int) -> Figure:
    area, low, high = (round(value, 3) for value in area_under_curve(live, attacks, seed))
    more: dict[str, Any] = {"live": len(live), "attacks": len(attacks)}
    return figure(name, area, "area", None, None, None, low=low, high=high, **more)
