"""What the gate makes of the face before it: tracked, looked at for life, recognised, judged.

    track -> liveness views from the first sight on
          -> in the zone: embedded, searched in the gallery, and decided on
    seen() -> the same face as evidence beside a pass

A face outside the zone is followed, and watched for signs of life so that the rider need
not wait for them later; it is never searched, and not embedded. Only when it steps into the
zone is an early view of it embedded too, to see that it was this face that was watched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gate.clock import age_s
from gate.decision import AskSecondFactor, Decision, Wait, decide
from gate.liveness.check import Finding, LivenessCheck, LivenessScore
from gate.liveness.risk import Facts, Limits, reason_for_pass
from gate.passage import Candidate, State, may_decide
from gate.presented import SeenFace
from gate.recognition import recognise
from gate.second_factor import Claims
from gate.words import Word
from models.faces.engine import Box, Face, Frame
from models.faces.matching import Ambiguous, Match, Matcher, Unknown
from models.faces.tracking import EMBEDDINGS_FIRST, Track, Tracker, nearest

EARLY_S = 0.9
"""Liveness rests on views of this time at 15 frames a second or more."""

EARLY_EVERY_S = 0.3

UNKNOWN = Facts(openings_today=0, openings_since_pass=0)
"""Of nobody: no account was named."""


@dataclass
class Knowledge:
    """What the gate knows from elsewhere; the sync threads replace it, the loop reads it.

    ``matcher`` and ``claims`` are None while there is no gallery that may be searched,
    ``blocked`` while there is no deny list; it was received at ``blocked_at``. ``look_alikes``
    are riders whose face is never enough.
    """

    matcher: Matcher | None = None
    blocked: dict[str, str] | None = None
    blocked_at: datetime | None = None
    claims: Claims | None = None
    look_alikes: frozenset[str] = frozenset()

    def forget(self) -> None:
        """Nobody may be recognised any more."""
        self.matcher = self.claims = None  # look-alikes stay: a decision may be under way


class History(Protocol):
    """What this gate remembers of an account's face; kept in the outbox."""

    def facts(self, account: str) -> Facts:
        """The facts the limits are held against."""
        ...

    def note_not_live(self, account: str) -> None:
        """This account's face was shown, and was not found to be living."""
        ...


class EarlyViews:
    """The oldest view of the nearest face that liveness may still rest on, with its frame.

    One track, one second, in memory only, and only while the face is there; it is embedded if
    the face steps into the zone.
    """

    def __init__(self) -> None:
        self._track_id = 0
        self._kept: deque[tuple[float, Frame, Face]] = deque()

    def keep(self, frame: Frame, track: Track, now_s: float) -> None:
        """Keep a view every third of a second."""
        if track.track_id != self._track_id:
            self._track_id = track.track_id
            self._kept.clear()
        while len(self._kept) > 1 and now_s - self._kept[1][0] >= EARLY_S:
            self._kept.popleft()
        if not self._kept or now_s - self._kept[-1][0] >= EARLY_EVERY_S:
            self._kept.append((now_s, frame, track.face))

    def keep_only(self, tracks: Collection[int]) -> None:
        """Let go of the views of a face that has gone."""
        if self._track_id not in tracks:
            self._kept.clear()

    def take(self, track_id: int) -> tuple[Frame, Face] | None:
        """The oldest view of the track, which is let go of; None where there is none."""
        mine = track_id == self._track_id and bool(self._kept)
        oldest = self._kept[0][1:] if mine else None
        self._kept.clear()
        return oldest


STEP = 1.25
"""A face that would be in the zone if it were so much larger is about to be: a detector's boxes
grow in steps of a fifth."""


def _nearer(box: Box) -> Box:
    """The box of the same face a step nearer."""
    across, down = round(box.width * (STEP - 1) / 2), round(box.height * (STEP - 1) / 2)
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down)


class Sight:
    """One camera's faces. ``in_zone(box, frame)`` says who asked to be let through."""

    def __init__(
        self,
        knowledge: Knowledge,
        tracker: Tracker,
        check: LivenessCheck,
        history: History,
        limits: Limits,
        in_zone: Callable[[Box, Frame], bool],
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._knowledge = knowledge
        self._tracker = tracker
        self._check = check
        self._history = history
        self._limits = limits
        self._in_zone = in_zone
        self._early = EarlyViews()
        self._wall_clock = wall_clock

    def observe(self, frame: Frame, now_s: float, ended: Collection[int]) -> bool:
        """Take the next frame; True if there is something new to decide on.

        ``ended`` are tracks whose passage is over: they are not watched any more.
        """
        self._tracker.settled = ended
        searched = self._tracker.observe(frame, now_s)
        self._early.keep_only(self.tracks)
        track = self.nearest(frame) or nearest(self._tracker.tracks)
        if track is None or track.track_id in ended:
            self._check.forget(now_s)
            return searched
        wanted = track.looks < EMBEDDINGS_FIRST and self._in_zone(_nearer(track.face.box), frame)
        if wanted and not searched and not self._tracker.find_again(frame, track, now_s):
            self._check.forget(now_s)
            return False
        waiting = self._in_zone(track.face.box, frame)
        watched = self._check.looks_at(track.track_id, now_s, waiting)
        if not watched:
            self._check.forget(now_s)
            return searched or (wanted and waiting)
        if not searched and not wanted:
            self._tracker.follow(frame, track)
        found = self._watch(frame, track, now_s, waiting)
        return searched or (waiting and (wanted or found))

    def _watch(self, frame: Frame, track: Track, now_s: float, waiting: bool) -> bool:
        """Look for life; True where that changes what was found so far."""
        before = self._check.score(track.track_id)
        self._check.observe(frame, track, now_s, waiting)
        if not track.looks:
            self._early.keep(frame, track, now_s)
        after = self._check.score(track.track_id)
        return after is not None and (before is None or before.finding is not after.finding)

    @property
    def tracks(self) -> frozenset[int]:
        """The faces that are there, or were a moment ago; a number never comes again."""
        return frozenset(track.track_id for track in self._tracker.tracks)

    def nearest(self, frame: Frame) -> Track | None:
        """The face in the zone, of several the nearest."""
        return nearest(self._tracker.tracks, lambda box: self._in_zone(box, frame))

    def where(self, frame: Frame) -> tuple[float, float, float, float] | None:
        """The nearest face's place as shares of the picture, in the zone or not."""
        track = nearest(self._tracker.tracks)
        if track is None:
            return None
        box, (height, width) = track.face.box, frame.shape[:2]
        return box.left / width, box.top / height, box.width / width, box.height / height

    def candidate(self, frame: Frame, state: State, presented: bool = False) -> Candidate | None:
        """The face in the zone and the decision on it; None where there is none.

        A face that was decided on is only looked at again beside what is ``presented``.
        """
        track = self.nearest(frame)
        if track is None:
            return None
        if may_decide(state, track.track_id):
            track = self._embedded(frame, track)
            return Candidate(track.track_id, self._decision(track), track.quality.usable)
        if presented:
            track = self._seen_again(frame, track)
        return Candidate(track.track_id, Wait(""), track.quality.usable)

    def _seen_again(self, frame: Frame, track: Track) -> Track:
        """The track once somebody answers the question it ended with. Until a rider has found
        the pass or the keys, somebody else may stand where they stood."""
        if track.embedding_is_due():
            self._tracker.follow(frame, track)
        return self._embedded(frame, track)

    def _embedded(self, frame: Frame, track: Track) -> Track:
        """The track with its next embedding, where one is due; its first is compared with an
        early view, for somebody else may have been watched."""
        first = not track.looks
        track = self._tracker.embed(frame, track)
        early = self._early.take(track.track_id) if first and track.looks else None
        seen_before = early is not None and early[0] is not frame
        if early is not None and seen_before and not self._tracker.resembles(*early, track):
            self._check.drop(track.track_id)
        return track

    def seen(self, frame: Frame) -> SeenFace | None:
        """The face in the zone as evidence beside a pass; None before its first embedding."""
        track = self.nearest(frame)
        if track is None or not track.frames:
            return None
        matcher = self._knowledge.matcher
        verdict = None if matcher is None else self._verdict(matcher, track)
        liveness = self._check.score(track.track_id)
        return SeenFace(track.fused(), track.frames, self._tracker.engine_id, verdict, liveness)

    def reason_for_pass(self, account: str, seen: SeenFace | None) -> str | None:
        """Why digits that fit the ``seen`` face are not enough; None where they are.

        Digits settle which of two look-alikes this is; every other limit stands.
        """
        liveness = (seen and seen.liveness) or LivenessScore(Finding.LOOKING)
        facts = replace(self._facts(account), look_alike=False)
        return reason_for_pass(facts, liveness, self._limits)

    def _decision(self, track: Track) -> Decision:
        if not track.quality.usable:
            return Wait(track.quality.advice())
        if not track.frames:
            return Wait(Word.HOLD_STILL)
        matcher, blocked = self._knowledge.matcher, self._knowledge.blocked
        if matcher is None or blocked is None:
            return AskSecondFactor(Word.NO_GALLERY)
        return self._judged(self._verdict(matcher, track), track, blocked)

    def _judged(
        self, verdict: Match | Ambiguous | Unknown, track: Track, blocked: dict[str, str]
    ) -> Decision:
        liveness = self._check.score(track.track_id) or LivenessScore(Finding.LOOKING)
        facts = self._facts(verdict.account) if isinstance(verdict, Match) else UNKNOWN
        decision = decide(verdict, track.looks, liveness, blocked, facts, self._limits)
        found_against = liveness.finding in (Finding.PICTURE, Finding.STILL)
        if isinstance(verdict, Match) and isinstance(decision, AskSecondFactor) and found_against:
            self._history.note_not_live(verdict.account)
        return decision

    def _facts(self, account: str) -> Facts:
        now = self._wall_clock()
        return replace(
            self._history.facts(account),
            deny_list_h=age_s(self._knowledge.blocked_at or now, now) / 3600,
            look_alike=account in self._knowledge.look_alikes,
        )

    def _verdict(self, matcher: Matcher, track: Track) -> Match | Ambiguous | Unknown:
        return recognise(matcher, track, self._tracker.engine_id)
