"""Both checks over one track: when is it enough, and when is it too late?

    first sight ..0.3 s..  the first comparison of the face with itself a third of a second ago
                ..0.5 s..  comparisons over another fifth of a second, five at least: the lower
                           quartile counts, so one jolt proves nothing
    in the zone ..2.0 s..  the deadline: what is not found to be live by now is asked for
                           the pass

Views count from the first sight of a face, on every frame, also while it is still too far
away to be recognised: a rider who walks up is usually found live before the gate knows who
it is. There a face that suddenly looks different begins anew, and the gate drops everything that
was seen before if the first embedding shows another person (``gate.sight``): whoever shows
their own face first and another's picture then gains nothing by it.

The pair is asked at most every 0.18 s and its last five answers are averaged. Before the
rider stands in the zone a finding comes and goes with the views; there it is final, but that
a weak one may still become stronger.
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
from models.faces.quality import Quality, Reason
from models.faces.tracking import Track

LOOK_BACK_S = 0.29
"""The face is compared with itself this long ago: nine frames of thirty a second, three of ten."""

LOOK_BACK_S_MAX = 0.6
COMPARISONS_MIN = 5
COMPARISONS_MAX = 10
AFAR_EVERY_S = 0.06
"""Whoever was found live outside the zone is looked at less often until they are in it."""

COMPARED_S = 0.19
"""The comparisons span this time at least: those of neighbouring frames say the same thing."""

PAIR_LOOKS = 5
PAIR_LOOKS_MIN = 3
PAIR_EVERY_S = 0.18
PATIENCE_S = 2.0
FORGET_S = 5.0


class Pair(Protocol):
    """What ``LivenessPair`` gives; a depth or infrared camera's judgement fits here too."""

    def live_share(self, frame: Frame, box: Box) -> float: ...


@dataclass
class _Memory:
    """What has been seen of one track."""

    last_s: float
    waiting_s: float | None = None  # since when the rider stands in the zone
    pair_s: float = float("-inf")
    views: deque[tuple[float, View]] = field(default_factory=lambda: deque(maxlen=40))
    stirrings: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=COMPARISONS_MAX)
    )
    shares: deque[float] = field(default_factory=lambda: deque(maxlen=PAIR_LOOKS))
    score: LivenessScore = field(default_factory=lambda: LivenessScore(Finding.LOOKING))

    @property
    def found(self) -> bool:
        """A finding was made while the rider waits."""
        return self.waiting_s is not None and self.score.finding is not Finding.LOOKING

    def take(self, score: LivenessScore) -> None:
        """A finding stays; only a living face that was weakly found may be found again."""
        if not self.found or (score.finding is Finding.LIVE and not score.weak):
            self.score = score

    def begin_anew(self) -> None:
        """What is seen now is not what was seen before. In the zone the embeddings tell."""
        self.views.clear()
        self.stirrings.clear()


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

    def looks_at(self, track_id: int, now_s: float, waiting: bool = True) -> bool:
        """Whether a view of the track now would tell anything new."""
        memory = self._memories.get(track_id)
        if memory is None:
            return True
        hurried = waiting or memory.score.finding is Finding.LOOKING
        rested = hurried or now_s - memory.last_s >= AFAR_EVERY_S
        return rested and not self._is_done(memory)

    def observe(self, frame: Frame, track: Track, now_s: float, waiting: bool = True) -> None:
        """Take the track's face as it is in ``frame``; cheap once the finding is made."""
        self.forget(now_s)
        if not can_be_watched(track.quality):
            return
        memory = self._memories.setdefault(track.track_id, _Memory(now_s))
        memory.last_s = now_s
        if self._is_done(memory):
            return
        if waiting and track.quality.usable and memory.waiting_s is None:
            memory.waiting_s = now_s
        if self._pair is not None and now_s - memory.pair_s >= PAIR_EVERY_S:
            memory.shares.append(self._pair.live_share(frame, track.face.box))
            memory.pair_s = now_s
        if self._rigidity is not None:
            self._compare(self._rigidity, memory, view_of(frame, track.face), now_s)
        memory.take(self._judge(memory, now_s))
        if self._is_done(memory):
            memory.views.clear()

    def score(self, track_id: int) -> LivenessScore | None:
        """What is known about the track; None for one never observed."""
        memory = self._memories.get(track_id)
        return None if memory is None else memory.score

    def drop(self, track_id: int) -> None:
        """What was seen of the track was somebody else's face."""
        self._memories.pop(track_id, None)

    def _is_done(self, memory: _Memory) -> bool:
        """Nothing that is still to be seen would change the finding. One check alone is weak."""
        alone = self._pair is None or self._rigidity is None
        may_grow = memory.score.finding is Finding.LIVE and memory.score.weak and not alone
        return memory.found and not may_grow

    def _compare(self, rigidity: Rigidity, memory: _Memory, view: View, now_s: float) -> None:
        earlier = [old for at_s, old in memory.views if now_s - at_s >= LOOK_BACK_S]
        memory.views.append((now_s, view))
        if not earlier:
            return
        stirring = rigidity.stirring(earlier[-1], view)
        if stirring is not None:
            memory.stirrings.append((now_s, stirring))
        elif memory.waiting_s is None:
            memory.begin_anew()
            memory.views.append((now_s, view))

    def _judge(self, memory: _Memory, now_s: float) -> LivenessScore:
        pair = float(np.mean(memory.shares)) if memory.shares else None
        stirring = lower_quartile(memory.stirrings)
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
        if memory.waiting_s is None or now_s - memory.waiting_s < PATIENCE_S:
            return seen
        return replace(seen, finding=Finding.STILL if looks_live else Finding.PICTURE)

    def forget(self, now_s: float) -> None:
        """Drop views older than a look back, and tracks out of sight for five seconds."""
        for memory in self._memories.values():
            while memory.views and now_s - memory.views[0][0] > LOOK_BACK_S_MAX:
                memory.views.popleft()
        gone = [key for key, old in self._memories.items() if now_s - old.last_s > FORGET_S]
        for key in gone:
            del self._memories[key]


def can_be_watched(quality: Quality) -> bool:
    """A face may be too far away to be recognised, and near enough to be seen moving."""
    return set(quality.reasons) <= {Reason.FACE_TOO_SMALL}


def lower_quartile(stirrings: deque[tuple[float, float]]) -> float | None:
    """What three quarters of the comparisons reach; None before there are enough of them."""
    if len(stirrings) < COMPARISONS_MIN or stirrings[-1][0] - stirrings[0][0] < COMPARED_S:
        return None
    return float(np.percentile([stirring for _, stirring in stirrings], 25))
