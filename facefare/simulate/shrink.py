"""The shortest story that still breaks a rule: leave steps out while it does.

Delta debugging (Zeller and Hildebrandt, 2002) in its simple form: halves, quarters, and so on
down to single steps, again from the start after each success.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facefare.simulate.steps import Step


def shrink(
    story: Sequence[Step], breaks: Callable[[Sequence[Step]], bool], tries_max: int = 400
) -> list[Step]:
    """The steps of ``story`` that are needed for ``breaks`` to stay true."""
    kept, length, tries = list(story), max(1, len(story) // 2), 0
    while tries < tries_max:
        start, shorter = 0, False
        while start < len(kept) and tries < tries_max:
            without = kept[:start] + kept[start + length :]
            tries += 1
            if without and breaks(without):
                kept, shorter = without, True
            else:
                start += length
        if length == 1 and not shorter:
            break
        length = max(1, length // 2)
    return kept
