"""Stories: a seed becomes a list of steps.

Each step says how much later it happens and carries everything that is chance in it, such as
at which write a process dies. What a step finds in the city depends on the steps before it;
what it is does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from random import Random
from typing import ClassVar, Literal

Crash = Literal["", "before commit", "after commit"]
"""When a process dies: just before a transaction is durable, or just after."""

Trouble = Literal["", "request lost", "reply lost", "doubled", "delayed"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens ``after_s`` seconds after the step before."""

    after_s: float
    fault: ClassVar[str] = ""  # the kind of fault this step belongs to; empty: ordinary life

    def words(self) -> str:
        """One line of the story."""
        facts = ", ".join(
            f"{f.name} {getattr(self, f.name)}"
            for f in fields(self)[1:]
            if getattr(self, f.name) not in ("", None, False)
        )
        return f"+{self.after_s:g} s  {type(self).__name__}" + (f": {facts}" if facts else "")


@dataclass(frozen=True, slots=True)
class Walk(Step):
    """A rider stands at a gate until it opens or says why not."""

    gate: int
    rider: int
    crash: Crash = ""  # the gate dies while it writes the tap
    turns_round: bool = False  # and comes back within half a minute


@dataclass(frozen=True, slots=True)
class Deliver(Step):
    """A gate sends what waits in its outbox."""

    gate: int
    trouble: Trouble = ""
    server_crash: Crash = ""
    gate_crash: Crash = ""  # the gate dies while it writes the answers down


@dataclass(frozen=True, slots=True)
class Refresh(Step):
    """A gate asks for gallery and deny list."""

    gate: int
    trouble: Trouble = ""


@dataclass(frozen=True, slots=True)
class TopUp(Step):
    """A rider pays at the desk; a form sent twice carries the same id."""

    rider: int
    minor: int
    doubled: bool = False
    server_crash: Crash = ""


@dataclass(frozen=True, slots=True)
class Refund(Step):
    """Staff refund a share of one of a rider's rides, now and then twice."""

    rider: int
    ride: int
    percent: int
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Leave(Step):
    """A rider leaves and is erased, perhaps in the middle of a journey."""

    rider: int
    fault: ClassVar[str] = "erasure"


@dataclass(frozen=True, slots=True)
class Publish(Step):
    """The server signs a checkpoint; an outsider keeps a copy."""

    crash: Crash = ""


@dataclass(frozen=True, slots=True)
class Skew(Step):
    """A gate's clock jumps."""

    gate: int
    seconds: int
    fault: ClassVar[str] = "clocks"


@dataclass(frozen=True, slots=True)
class DiskFull(Step):
    """A gate's disk is full from now on, or has room again."""

    gate: int
    full: bool
    fault: ClassVar[str] = "disks"


@dataclass(frozen=True, slots=True)
class CorruptOutbox(Step):
    """Pages of a gate's outbox turn to noise; staff find out and set the gate up anew."""

    gate: int
    noise: int
    fault: ClassVar[str] = "disks"


@dataclass(frozen=True, slots=True)
class Clone(Step):
    """Somebody copies a gate's whole disk and lets riders through with the copy."""

    gate: int
    rider: int
    fault: ClassVar[str] = "clones"


@dataclass(frozen=True, slots=True)
class Revoke(Step):
    """Staff revoke a gate and set it up again under a new name."""

    gate: int
    fault: ClassVar[str] = "clones"


@dataclass(frozen=True, slots=True)
class Failover(Step):
    """The database is replaced by a copy made ``steps_back`` steps ago, then put right."""

    steps_back: int
    fault: ClassVar[str] = "failover"


@dataclass(frozen=True, slots=True)
class Replay(Step):
    """Somebody sends one of the requests seen on the wire once more."""

    request: int
    fault: ClassVar[str] = "network"


FAULTS = ("network", "crashes", "clocks", "disks", "clones", "failover", "erasure")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a city and how long its story: ``steps`` per day."""

    days: int = 1
    gates: int = 3
    riders: int = 5
    steps: int = 60


Make = Callable[[Random, Size, float], Step]


def tell(seed: int, size: Size, faults: Iterable[str] = FAULTS) -> list[Step]:
    """The story of ``seed``: always the same for the same arguments."""
    # S311: a story, not a secret
    random = Random(seed)  # noqa: S311
    chosen = frozenset(faults)
    kinds = [(make, weight) for make, weight, fault in _KINDS if not fault or fault in chosen]
    makes, weights = zip(*kinds, strict=True)
    count = size.days * size.steps
    pause_s = 86_400 * size.days / count
    story: list[Step] = [
        TopUp(1.0, rider, random.choice((0, 200, 500, 2000))) for rider in range(size.riders)
    ]
    for _ in range(count):
        after_s = round(random.expovariate(1 / pause_s), 1)
        step = random.choices(makes, weights)[0](random, size, after_s)
        story.append(step if "crashes" in chosen else _calm(step))
    return story


def _gate(random: Random, size: Size) -> int:
    return random.randrange(size.gates)


def _rider(random: Random, size: Size) -> int:
    return random.randrange(size.riders)


def _crash(random: Random, share: float) -> Crash:
    if random.random() >= share:
        return ""
    return random.choice(("before commit", "after commit"))


def _trouble(random: Random, share: float) -> Trouble:
    if random.random() >= share:
        return ""
    return random.choice(("request lost", "reply lost", "doubled", "delayed"))


def _walk(random: Random, size: Size, after_s: float) -> Step:
    soon = random.random() < 0.3  # riders also come one behind the other, and come back
    crash = _crash(random, 0.1)
    return Walk(min(after_s, 5.0) if soon else after_s, _gate(random, size), _rider(random, size),
                crash, random.random() < 0.1)  # fmt: skip


def _deliver(random: Random, size: Size, after_s: float) -> Step:
    return Deliver(
        min(after_s, 30.0),
        _gate(random, size),
        _trouble(random, 0.4),
        _crash(random, 0.15),
        _crash(random, 0.15),
    )


def _top_up(random: Random, size: Size, after_s: float) -> Step:
    return TopUp(after_s, _rider(random, size), random.randrange(1, 3000), random.random() < 0.3,
                 _crash(random, 0.2))  # fmt: skip


def _refund(random: Random, size: Size, after_s: float) -> Step:
    return Refund(after_s, _rider(random, size), random.randrange(100),
                  random.choice((50, 100, 100, 150)), random.random() < 0.5)  # fmt: skip


def _skew(random: Random, size: Size, after_s: float) -> Step:
    seconds = random.choice((-3600, -600, -20, -1, 0, 0, 0, 1, 20, 600, 3600))
    return Skew(after_s, _gate(random, size), seconds)


_KINDS: tuple[tuple[Make, int, str], ...] = (
    (_walk, 40, ""),
    (_deliver, 25, ""),
    (lambda r, s, t: Refresh(min(t, 60.0), _gate(r, s), _trouble(r, 0.2)), 12, ""),
    (_top_up, 4, ""),
    (_refund, 4, ""),
    (lambda _r, _s, t: Publish(min(t, 5.0), _crash(_r, 0.2)), 8, ""),
    (lambda r, s, t: Leave(t, _rider(r, s)), 1, "erasure"),
    (_skew, 2, "clocks"),
    (lambda r, s, t: DiskFull(t, _gate(r, s), r.random() < 0.5), 2, "disks"),
    (lambda r, s, t: CorruptOutbox(t, _gate(r, s), r.randrange(2**16)), 1, "disks"),
    (lambda r, s, t: Clone(t, _gate(r, s), _rider(r, s)), 1, "clones"),
    (lambda r, s, t: Revoke(t, _gate(r, s)), 1, "clones"),
    (lambda r, _s, t: Failover(t, r.randrange(1, 30)), 1, "failover"),
    (lambda r, _s, t: Replay(min(t, 20.0), r.randrange(10_000)), 2, "network"),
)


def _calm(step: Step) -> Step:
    """The same step without a process that dies in it."""
    match step:
        case Walk():
            return Walk(step.after_s, step.gate, step.rider, "", step.turns_round)
        case Deliver():
            return Deliver(step.after_s, step.gate, step.trouble)
        case TopUp():
            return TopUp(step.after_s, step.rider, step.minor, step.doubled)
        case Publish():
            return Publish(step.after_s)
        case _:
            return step
