"""Both checks over one track: when is it enough, and when is it too late?

    usable view ..0.5 s..  the first comparison of the face with itself half a second ago
                ..1.0 s..  six of them: the lower quartile counts, so one jolt proves nothing
                ..3.0 s..  the deadline: what is not found to be live by now is asked for
                           the pass

The pair is asked at most every 0.2 s and its last five answers are averaged. A finding,
once made, stays with the track: looking on would only collect chances for a picture. Only
usable views count, the very ones that are embedded: whoever shows their own face first and
another's picture then is a new track to the tracker, and a new track to us.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from gate.liveness.check import Finding, LivenessScore
from gate.liveness.rigid import Rigidity, View, view_of
from gate.liveness.thresholds import SHIPPED, LivenessThreshold
from models.faces.engine import Box, Frame
from models.faces.tracking import Track

LOOK_BACK_S = 0.45
"""The face is compared with itself this long ago; a little less than half a second, so that
ten frames a second give it five frames."""

LOOK_BACK_S_MAX = 0.9
COMPARISONS = 6
PAIR_LOOKS = 5
PAIR_LOOKS_MIN = 3
PAIR_EVERY_S = 0.18
PATIENCE_S = 3.0
FORGET_S = 5.0


class Pair(Protocol):
    """What ``LivenessPair`` gives; a depth or infrared camera's judgement fits here too."""

    def live_share(self, frame: Frame, box: Box) -> float: ...


@dataclass
class _Memory:
    """What has been seen of one track."""

    first_s: float
    last_s: float
    pair_s: float = float("-inf")
    views: deque[tuple[float, View]] = field(default_factory=lambda: deque(maxlen=40))
    stirrings: deque[float] = field(default_factory=lambda: deque(maxlen=COMPARISONS))
    shares: deque[float] = field(default_factory=lambda: deque(maxlen=PAIR_LOOKS))
    score: LivenessScore = field(default_factory=lambda: LivenessScore(Finding.LOOKING))


class FusedCheck:
    """See ``check.LivenessCheck``. Without ``pair`` or without ``rigidity`` the other decides."""

    def __init__(
        self,
        pair: Pair | None,
        rigidity: Rigidity | None,
        threshold: LivenessThreshold = SHIPPED,
    ) -> None:
        if pair is None and rigidity is None:
            raise ValueError("a fused check needs at least one of the pair and the rigidity check")
        self._pair = pair
        self._rigidity = rigidity
        self._threshold = threshold
        self._memories: dict[int, _Memory] = {}

    def observe(self, frame: Frame, track: Track, now_s: float) -> None:
        """Take the track's face as it is in ``frame``; cheap once the finding is made."""
        self.forget(now_s)
        if not track.quality.usable:
            return
        memory = self._memories.setdefault(track.track_id, _Memory(now_s, now_s))
        memory.last_s = now_s
        if memory.score.finding is not Finding.LOOKING:
            return
        if self._pair is not None and now_s - memory.pair_s >= PAIR_EVERY_S:
            memory.shares.append(self._pair.live_share(frame, track.face.box))
            memory.pair_s = now_s
        if self._rigidity is not None:
            self._compare(self._rigidity, memory, view_of(frame, track.face), now_s)
        memory.score = self._judge(memory, now_s)
        if memory.score.finding is not Finding.LOOKING:
            memory.views.clear()

    def score(self, track_id: int) -> LivenessScore | None:
        """What is known about the track; None for one never observed."""
        memory = self._memories.get(track_id)
        return None if memory is None else memory.score

    def _compare(self, rigidity: Rigidity, memory: _Memory, view: View, now_s: float) -> None:
        earlier = [old for at_s, old in memory.views if now_s - at_s >= LOOK_BACK_S]
        memory.views.append((now_s, view))
        if not earlier:
            return
        stirring = rigidity.stirring(earlier[-1], view)
        if stirring is not None:
            memory.stirrings.append(stirring)

    def _judge(self, memory: _Memory, now_s: float) -> LivenessScore:
        pair = float(np.mean(memory.shares)) if memory.shares else None
        stirring = lower_quartile(memory.stirrings)
        late = now_s - memory.first_s >= PATIENCE_S
        seen = LivenessScore(Finding.LOOKING, pair, stirring)
        enough = len(memory.shares) >= (PAIR_LOOKS if self._rigidity is None else PAIR_LOOKS_MIN)
        looks_live = self._pair is None or (
            enough and pair is not None and pair >= self._threshold.pair_min
        )
        stirred = self._rigidity is None or (
            stirring is not None and stirring >= self._threshold.stirring_min
        )
        if looks_live and stirred:
            return replace(seen, finding=Finding.LIVE, weak=self._threshold.is_weak(pair, stirring))
        if not late:
            return seen
        return replace(seen, finding=Finding.STILL if looks_live else Finding.PICTURE)

    def forget(self, now_s: float) -> None:
        """Drop views older than a second, and tracks out of sight for five."""
        for memory in self._memories.values():
            while memory.views and now_s - memory.views[0][0] > LOOK_BACK_S_MAX:
                memory.views.popleft()
        gone = [key for key, old in self._memories.items() if now_s - old.last_s > FORGET_S]
        for key in gone:
            del self._memories[key]


def lower_quartile(stirrings: deque[float]) -> float | None:
    """What three quarters of the comparisons reach; None before there are enough of them."""
    if len(stirrings) < COMPARISONS:
        return None
    return float(np.percentile(stirrings, 25))
