"""Is this face enrolled already? Who decides, and what follows for the gates.

A new template is compared with every template that is kept. Where one is too much alike,
enrolling stops and names those riders. Then staff look, and say that this is somebody
else; for a face that is very probably the same, a second member of staff has to say so
too. What they said is ``Approval``, and it holds for the riders they were shown only.

From a certain likeness on, gates could mix the two up: both riders become ``look_alike``
and are asked for the pass or the four digits every time.

A rider with ``face+pass`` has no template here and cannot be found by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from flask_babel import gettext as _
from sqlmodel import Session, col, select

from enrollment.form import EnrollmentRefused
from enrollment.gallery import move_gallery_version, open_templates, templates_of
from enrollment.likeness import Likeness, likeness, limits_for, nobody
from enrollment.store import Enrollment
from enrollment.templating import NewTemplate
from models.tables.riders import Rider

SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Alike:
    """An enrolled rider whom the new face resembles, and how much."""

    rider: Rider
    level: Likeness
    score: float


class AlreadyEnrolled(EnrollmentRefused):
    """A face that is, or looks like, the enrolled riders ``found``, most alike first."""

    def __init__(self, found: tuple[Alike, ...]) -> None:
        super().__init__(_sentence(found[0]))
        self.found = found

    @property
    def needs_second(self) -> bool:
        """Whether a second member of staff has to confirm that this is somebody else."""
        return self.found[0].level is Likeness.SAME


@dataclass(frozen=True, slots=True)
class Approval:
    """Staff say that the new face is none of ``rider_ids``; ``second`` confirmed it too.

    ``is_twin`` says that they look alike to people as well.
    """

    rider_ids: frozenset[str]
    second: str | None = None
    is_twin: bool = False

    def covers(self, found: Iterable[Alike]) -> bool:
        """Whether everybody in ``found`` was looked at, by two where two are needed."""
        return all(
            alike.rider.rider_id in self.rider_ids
            and (alike.level is not Likeness.SAME or self.second is not None)
            for alike in found
        )


NOT_ASKED = Approval(frozenset())


def find_alike(
    enrollment: Enrollment, session: Session, template: NewTemplate, but_for: str | None = None
) -> tuple[Alike, ...]:
    """The riders whom ``template`` resembles, most alike first; ``but_for`` is left out."""
    found = templates_of(session, template.engine_id)
    opened = [
        (rider, vector)
        for rider, vector in open_templates(enrollment.vault, found)
        if rider.rider_id != but_for
    ]
    if not opened:
        return ()
    enrolled = np.stack([np.frombuffer(vector, "<f4") for _rider, vector in opened])
    scores = likeness(template.vector, enrolled, nobody(template.engine_id))
    limits = limits_for(template.engine_id)
    alike = []
    for row in np.argsort(-scores)[:SHOWN_MAX]:
        level = limits.level(float(scores[row]), len(opened))
        if level is not None:
            alike.append(Alike(opened[row][0], level, float(scores[row])))
    return tuple(alike)


def check_alike(
    enrollment: Enrollment,
    session: Session,
    template: NewTemplate,
    approval: Approval,
    but_for: str | None = None,
) -> tuple[Alike, ...]:
    """Raise ``AlreadyEnrolled`` unless ``approval`` covers everybody the face resembles."""
    found = find_alike(enrollment, session, template, but_for)
    if not approval.covers(found):
        raise AlreadyEnrolled(found)
    return found


def confusable(found: tuple[Alike, ...], approval: Approval) -> tuple[str, ...]:
    """The riders whom gates have to tell from the new one by more than the face."""
    return tuple(
        alike.rider.rider_id
        for alike in found
        if approval.is_twin or alike.level >= Likeness.LOOK_ALIKE
    )


def mark_look_alikes(session: Session, rider_ids: Iterable[str]) -> None:
    """Let every gate ask these riders for a second factor, from its next gallery on."""
    for rider in session.exec(select(Rider).where(col(Rider.rider_id).in_(list(rider_ids)))):
        rider.look_alike = True
        session.add(rider)
    move_gallery_version(session)


def _sentence(alike: Alike) -> str:
    said: str = _(
        "This face looks like rider %(reference)s. Compare the two before you go on.",
        reference=alike.rider.rider_id,
    )
    if alike.level is Likeness.SAME:
        said = _(
            "This face is enrolled already, as rider %(reference)s. If this is another "
            "person, such as a twin, a second member of staff has to confirm it.",
            reference=alike.rider.rider_id,
        )
    return said
