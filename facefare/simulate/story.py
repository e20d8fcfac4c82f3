"""Stories: a seed becomes a list of steps.

A seed also chooses what its story is about: some have payments by card, some a change of
fares, so that one story stays short and all of them together leave nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from facefare.simulate.feed import place_of
from facefare.simulate.steps import (
    AutoTopUp,
    Block,
    CardRefund,
    CardTopUp,
    ChangeFeed,
    Clone,
    CorruptOutbox,
    Crash,
    Deliver,
    DiskFull,
    Dispute,
    EndOfDay,
    Failover,
    Holiday,
    Leave,
    Messages,
    ProcessorTrouble,
    Publish,
    Refresh,
    Refund,
    Replay,
    Revoke,
    Ride,
    Skew,
    Step,
    Tick,
    TopUp,
    Trouble,
    Walk,
)

FAULTS = (
    "network", "crashes", "clocks", "disks", "clones", "failover", "erasure", "payments", "feeds",
)  # fmt: skip
DAY_S = 86_400
CARDS_SHARE, FEEDS_SHARE, HOLIDAY_SHARE = 0.5, 0.4, 0.15
"""How many of the stories have payments by card, new fares, and a holiday."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a city and how long its story: ``steps`` per day."""

    days: int = 1
    gates: int = 4
    riders: int = 5
    steps: int = 50


Make = Callable[[Random, Size, float], Step]


def tell(seed: int, size: Size, faults: Iterable[str] = FAULTS) -> list[Step]:
    """The story of ``seed``: always the same for the same arguments."""
    # S311: a story, not a secret
    random = Random(seed)  # noqa: S311
    chosen = frozenset(faults)
    about = _KINDS + (_CARDS if random.random() < CARDS_SHARE else ())
    kinds = [(make, weight) for make, weight, fault in about if not fault or fault in chosen]
    makes, weights = zip(*kinds, strict=True)
    count = size.days * size.steps
    pause_s = DAY_S * size.days / count
    story: list[Step] = [
        TopUp(1.0, rider, random.choice((0, 200, 500, 2000))) for rider in range(size.riders)
    ]
    story += [Refresh(1.0, gate, gate_crash=_crash(random, 0.06)) for gate in range(size.gates)]
    for _ in range(count):
        after_s = round(random.expovariate(1 / pause_s), 1)
        story.append(random.choices(makes, weights)[0](random, size, after_s))
    for place, step in _once(random, count, chosen):
        story.insert(len(story) - place, step)
    return [_without(step, chosen) for step in story]


def _once(random: Random, count: int, chosen: frozenset[str]) -> Iterator[tuple[int, Step]]:
    """What happens at most once in a story, and how many steps before its end."""
    feeds, holiday = random.random() < FEEDS_SHARE, random.random() < HOLIDAY_SHARE
    if feeds and "feeds" in chosen:
        yield random.randrange(count * 2 // 3, count), ChangeFeed(1.0)
    if holiday:
        yield random.randrange(count // 2), Holiday(random.choice((2, 4, 5)) * DAY_S)


def _gate(random: Random, size: Size) -> int:
    return random.randrange(size.gates)


def _rider(random: Random, size: Size) -> int:
    """Some ride much more than others."""
    return min(random.randrange(size.riders), random.randrange(size.riders))


def _crash(random: Random, share: float) -> Crash:
    """A process dies."""
    if random.random() >= share:
        return ""
    return random.choice(("before commit", "after commit"))


def _server_crash(random: Random, share: float) -> Crash:
    """The server dies, or its disk is full."""
    if random.random() >= share:
        return ""
    return random.choice(("before commit", "after commit", "before commit", "disk full"))


def _late_by(random: Random) -> int:
    return random.choice((1, 1, 2, 3, 6))


def _at_write(random: Random) -> int:
    return random.choice((1, 1, 2, 2, 3, 4))


def _trouble(random: Random, share: float) -> Trouble:
    if random.random() >= share:
        return ""
    return random.choice(("request lost", "reply lost", "doubled", "delayed"))


def _processor_trouble(random: Random) -> ProcessorTrouble:
    return random.choice(("none", "none", "lose_reply", "delay", "lose_order"))


def _walk(random: Random, size: Size, after_s: float) -> Step:
    soon = random.random() < 0.3  # riders also come one behind the other, and come back
    crash = _crash(random, 0.1)
    return Walk(min(after_s, 5.0) if soon else after_s, _gate(random, size), _rider(random, size),
                crash, random.random() < 0.1)  # fmt: skip


def _ride(random: Random, size: Size, after_s: float) -> Step:
    """A habit: in where the rider lives or works, out at the other end, now and then on by bus."""
    rider, numbers = _rider(random, size), range(size.gates)
    ins = [n for n in numbers if (place_of(n).network, place_of(n).direction) == ("metro", "in")]
    outs = [n for n in numbers if place_of(n).direction == "out"] or ins
    buses = [n for n in numbers if place_of(n).network == "bus"]
    start = ins[rider % len(ins)]
    ends = [n for n in outs if place_of(n).stop != place_of(start).stop] or outs
    minutes = random.choice((8, 20, 20, 35, 100))
    bus = random.choice(buses) if buses and random.random() < 0.3 else None
    return Ride(after_s / 2, rider, start, random.choice(ends), minutes, bus)


def _deliver(random: Random, size: Size, after_s: float) -> Step:
    return Deliver(
        min(after_s, 30.0),
        _gate(random, size),
        _trouble(random, 0.4),
        _late_by(random),
        _server_crash(random, 0.1),
        _crash(random, 0.1),
        random.choice((1, 2)),
    )


def _refresh(random: Random, size: Size, after_s: float) -> Step:
    return Refresh(
        min(after_s, 60.0),
        _gate(random, size),
        _trouble(random, 0.2),
        _late_by(random),
        _server_crash(random, 0.05),
        _crash(random, 0.2),
        random.choice((1, 1, 2)),
    )


def _top_up(random: Random, size: Size, after_s: float) -> Step:
    return TopUp(after_s, _rider(random, size), random.randrange(1, 3000), random.random() < 0.3,
                 _server_crash(random, 0.1))  # fmt: skip


def _refund(random: Random, size: Size, after_s: float) -> Step:
    return Refund(after_s, _rider(random, size), random.randrange(100),
                  random.choice((50, 100, 100, 150)), random.random() < 0.5)  # fmt: skip


def _leave(random: Random, size: Size, after_s: float) -> Step:
    through = _gate(random, size) if random.random() < 0.7 else None
    at_write = random.choice((2, 5, 3, 2, 1, 4))
    return Leave(after_s, _rider(random, size), through, _server_crash(random, 0.7), at_write)


def _skew(random: Random, size: Size, after_s: float) -> Step:
    seconds = random.choice((-3600, -600, -20, -1, 0, 0, 0, 1, 20, 600, 3600))
    return Skew(after_s, _gate(random, size), seconds)


def _skew_server(random: Random, _size: Size, after_s: float) -> Step:
    seconds = random.choice((-3600, -600, -20, 20, 600, 0, 0, 0, 0, 0))
    return Skew(min(after_s, 600.0), None, seconds)


def _corrupt(random: Random, size: Size, after_s: float) -> Step:
    page = random.randrange(1, 8) if random.random() < 0.7 else None
    noise, unnoticed = random.randrange(2**16), page is not None and random.random() < 0.6
    return CorruptOutbox(after_s, _gate(random, size), noise, page, unnoticed)


def _card_top_up(random: Random, size: Size, after_s: float) -> Step:
    minor, trouble = random.randrange(100, 3000), _processor_trouble(random)
    crash = _server_crash(random, 0.12)
    return CardTopUp(min(after_s, 60.0), _rider(random, size), minor, trouble, crash,
                     _at_write(random))  # fmt: skip


def _auto(random: Random, size: Size, after_s: float) -> Step:
    return AutoTopUp(min(after_s, 60.0), _rider(random, size), 500, random.choice((700, 1500)))


def _card_refund(random: Random, _size: Size, after_s: float) -> Step:
    percent, trouble = random.choice((50, 100)), _processor_trouble(random)
    return CardRefund(min(after_s, 60.0), random.randrange(20), percent, trouble)


def _messages(random: Random, _size: Size, after_s: float) -> Step:
    picks = tuple(random.randrange(1000) for _ in range(random.choice((1, 2, 4))))
    return Messages(min(after_s, 120.0), picks, _server_crash(random, 0.1), _at_write(random))


def _end_of_day(random: Random, _size: Size, after_s: float) -> Step:
    lose, double = (random.randrange(20) if random.random() < 0.4 else None for _ in range(2))
    return EndOfDay(after_s, lose, double, _server_crash(random, 0.12), _at_write(random))


_KINDS: tuple[tuple[Make, float, str], ...] = (
    (_walk, 18, ""),
    (_ride, 24, ""),
    (_deliver, 24, ""),
    (_refresh, 10, ""),
    (lambda r, _s, t: Tick(min(t, 60.0), _server_crash(r, 0.12), _at_write(r)), 5, ""),
    (_top_up, 4, ""),
    (_refund, 4, ""),
    (lambda r, s, t: Block(t, _rider(r, s)), 2, ""),
    (lambda r, _s, t: Publish(min(t, 5.0), _server_crash(r, 0.2)), 7, ""),
    (_leave, 1.3, "erasure"),
    (_skew, 2, "clocks"),
    (_skew_server, 1, "clocks"),
    (lambda r, s, t: DiskFull(t, _gate(r, s), r.random() < 0.5), 2, "disks"),
    (_corrupt, 1, "disks"),
    (lambda r, s, t: Clone(t, _gate(r, s), _rider(r, s)), 1, "clones"),
    (lambda r, s, t: Revoke(t, _gate(r, s), _rider(r, s)), 0.7, "clones"),
    (lambda r, _s, t: Failover(t, r.randrange(1, 30)), 0.8, "failover"),
    (lambda r, _s, t: Replay(min(t, 20.0), r.randrange(10_000)), 2, "network"),
)
_CARDS: tuple[tuple[Make, float, str], ...] = (
    (_card_top_up, 7, ""),
    (_auto, 2, ""),
    (_card_refund, 2, ""),
    (lambda r, _s, t: Dispute(min(t, 60.0), r.randrange(20)), 2, "payments"),
    (_messages, 4, ""),
    (_end_of_day, 3, ""),
)
_AT_THE_PROCESSOR = (CardTopUp, CardRefund, EndOfDay)


def _without(step: Step, chosen: frozenset[str]) -> Step:
    """The same step without the faults that were not asked for."""
    plain: dict[str, Any] = {
        name: ""
        for name in ("crash", "server_crash", "gate_crash")
        if ("disks" if getattr(step, name, "") == "disk full" else "crashes") not in chosen
    }
    if isinstance(step, _AT_THE_PROCESSOR):
        if "payments" not in chosen:
            plain |= {"trouble": "none", "lose": None, "double": None}
    elif "network" not in chosen:
        plain |= {"trouble": ""}
    mine = {field.name for field in fields(step)}
    return replace(step, **{name: value for name, value in plain.items() if name in mine})
