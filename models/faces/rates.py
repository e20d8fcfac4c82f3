"""Error rates of searches, and how sure they are: thresholds, misses, intervals.

A *search* has a value: its score, or minus infinity where it could not have opened a gate
at any threshold (the wrong rider is first, or the first two are too close). The searches
of one person are not independent, so intervals come from drawing *people* with
replacement, never searches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
People = npt.NDArray[np.intp]

EVENTS_MIN = 10
"""A rate is only measured where at least so many false positives can be counted."""

BOOTSTRAPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """``values[i]`` is the value of a search with a picture of person ``people[i]``."""

    values: Values
    people: People

    def __len__(self) -> int:
        return len(self.values)

    def distinct(self) -> int:
        """How many different people the searches are of."""
        return len(np.unique(self.people))


def join(parts: list[Searches]) -> Searches:
    """All searches of ``parts``."""
    return Searches(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.people for part in parts]),
    )


def countable(strangers: Searches, rate: float) -> bool:
    """Whether ``rate`` can be measured with so few or many strangers' searches."""
    return len(strangers) * rate >= EVENTS_MIN


def threshold_at(strangers: Searches, rate: float) -> float:
    """The lowest threshold that at most the share ``rate`` of ``strangers`` reach."""
    ordered = np.sort(strangers.values)[::-1]
    # Where the margin alone keeps strangers out, the threshold still stays among their scores.
    able = int(np.isfinite(ordered).sum())
    return _just_above(ordered[min(int(rate * len(ordered)), max(able - 1, 0))])


def share_below(searches: Searches, threshold: float) -> float:
    """The share of ``searches`` that do not reach ``threshold``: FNIR, of riders' searches."""
    return float(np.mean(searches.values < threshold))


def share_reaching(searches: Searches, threshold: float) -> float:
    """The share of ``searches`` that reach ``threshold``: FPIR, of strangers' searches."""
    return float(np.mean(searches.values >= threshold))


def resampled_thresholds(
    strangers: Searches, rate: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """``threshold_at`` for ``BOOTSTRAPS`` draws of the strangers with replacement."""
    order = np.argsort(-strangers.values, kind="stable")
    values, places = strangers.values[order], _places(strangers)[order]
    drawn = _draws(int(places.max()) + 1, rng)
    found = []
    for weights in drawn:
        reached = np.cumsum(weights[places])
        # The first search beyond the allowed number sets the threshold.
        beyond = int(np.searchsorted(reached, rate * reached[-1], side="right"))
        found.append(_just_above(values[min(beyond, len(values) - 1)]))
    return np.array(found)


def interval_below(
    searches: Searches, thresholds: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float]:
    """The 95 % interval of ``share_below``, drawing people and thresholds together."""
    places = _places(searches)
    shares = []
    for weights, threshold in zip(_draws(int(places.max()) + 1, rng), thresholds, strict=True):
        weight = weights[places]
        shares.append(float(weight[searches.values < threshold].sum() / max(weight.sum(), 1)))
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)


def _places(searches: Searches) -> People:
    """People renumbered from 0 without gaps."""
    return np.asarray(np.unique(searches.people, return_inverse=True)[1], dtype=np.intp)


def _draws(people: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(BOOTSTRAPS, people): how often each person is drawn when all are drawn again."""
    return rng.multinomial(people, np.full(people, 1.0 / people), size=BOOTSTRAPS)


def _just_above(value: np.float32) -> float:
    return float(np.nextafter(value, np.float32(np.inf)))
