"""``facefare bench gate``: riders walk up to a gate in real time, before 10,000 enrolled.

The gate is the whole one: camera thread, tracking, liveness, search, decision, signed tap
on disk. Only the door is a stopwatch. A passage's time runs from the first frame in which
the rider's face is usable and in the gate's zone (found by searching *every* frame of the
clip beforehand) to the open command. Whatever else this machine does meanwhile is in these
figures; the same run counted in processor time stands beside them (``_quiet_core``): a frame
costs what it takes, a newer one replaces those that came meanwhile, and each costs its
decoding. Then riders come close behind one another for ``--minutes``. The last part runs the
stage clip as fast as it goes, beside the usual webcam example of ``face_recognition``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from bench.gate_peer import clip_figures
from bench.gate_station import Stopwatch, gallery_of, make_gate, make_loop
from bench.liveness_recordings import clip_paths
from bench.walkups import FPS, HEIGHT, WIDTH, Walk, nobody, walked
from gate.camera import FRAME_AGE_S_MAX, Camera
from gate.clips import PlayedClip, recorded
from gate.identity import GateIdentity
from gate.liveness.choices import make_check
from gate.liveness.thresholds import SHIPPED
from gate.loop import GateLoop
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Face, Frame
from models.faces.quality import assess
from models.faces.runtime import multiply_on_one_thread

ENROLLED = 10_000
MINUTES = 1.0
MEMORY_MINUTES_MIN = 5
CLIPS = 3
"""So many clips of all riders, each coming from elsewhere and at another speed."""

ENROLL_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Manner:
    """How riders come: from where, how fast (metres, metres a second), and how close together."""

    from_m: tuple[float, float]
    speed_m_s: tuple[float, float]
    seen_s: float
    gap_s: float


ONE_BY_ONE = Manner((1.8, 2.4), (0.8, 1.4), 2.4, 0.45)
IN_A_QUEUE = Manner((1.6, 2.0), (0.9, 1.4), 1.5, 0.35)

DETECT_SIDE_MAX_PX = 640


@dataclass(frozen=True, slots=True)
class Rider:
    """A living person's recording: enrolled from its end, walking up from its beginning."""

    name: str
    frames: list[Any]
    face: Face
    template: np.ndarray[Any, np.dtype[np.float32]]


@dataclass
class Passages:
    """What happened, for every walk-up of the clip."""

    began_s: list[float] = field(default_factory=list)
    usable_s: list[float] = field(default_factory=list)  # when each one's face was usable first
    owners: list[str] = field(default_factory=list)


def run(
    seed: int, data_dir: Path, progress: Progress | None = None, minutes: float = MINUTES
) -> dict[str, Any]:
    """Measure for ``minutes`` on one core; ``data_dir`` holds ``clips`` and ``models``."""
    cv2.setNumThreads(1)
    multiply_on_one_thread()
    engine = DlibEngine.load(detect_side_max=DETECT_SIDE_MAX_PX)
    steps = progress.add_task("gate", total=5) if progress else None

    def step() -> None:
        if progress and steps is not None:
            progress.advance(steps)

    with TemporaryDirectory() as folder, one_core():
        riders = [rider for path in clip_paths(data_dir) if (rider := _rider(engine, path))]
        step()
        identity, models = make_gate(Path(folder)), data_dir / "models"

        def setting(name: str, manner: Manner, seed: int) -> _Setting:
            clip, passages = _clip(
                engine, riders, identity, Path(folder) / f"{name}.mp4", seed, manner
            )
            return _Setting(engine, identity, riders, clip, passages, models, seed)

        alone = [setting(f"alone-{n}", ONE_BY_ONE, seed + n) for n in range(CLIPS)]
        step()
        figures = _one_by_one(alone)
        step()
        figures += _in_a_queue(setting("queue", IN_A_QUEUE, seed), minutes)
        step()
        figures += clip_figures(engine, data_dir, Path(folder))
        step()
    return answer("gate", seed, figures)


def _rider(engine: DlibEngine, path: Path) -> Rider | None:
    """None for the replayed phone: that is no living rider."""
    if path.stem == "replay":
        return None
    frames = list(recorded(path))[: 30 * 12]
    enrolled = []
    for timed in frames[-1 : len(frames) // 2 : -7]:
        faces = engine.find(timed.frame)
        if faces and assess(timed.frame, faces[0]).usable:
            enrolled.append(engine.embed(timed.frame, faces[:1])[0])
        if len(enrolled) == ENROLL_FRAMES:
            break
    first = engine.find(frames[0].frame)
    if not first or not enrolled:
        return None
    mean = np.mean(enrolled, axis=0)
    face = max(first, key=lambda found: found.box.width)
    return Rider(path.stem, frames[: len(frames) // 2], face, mean / np.linalg.norm(mean))


def _clip(
    engine: DlibEngine,
    riders: list[Rider],
    identity: GateIdentity,
    path: Path,
    seed: int,
    manner: Manner = ONE_BY_ONE,
) -> tuple[Path, Passages]:
    """All riders once, one after the other, and when each one's face was usable first."""
    rng = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    owners, spans, number = [], [], 0
    for rider in rng.permutation(np.array(riders, dtype=object)):
        walk = Walk(
            from_m=float(rng.uniform(*manner.from_m)),
            speed_m_s=float(rng.uniform(*manner.speed_m_s)),
            seconds=manner.seen_s,
        )
        came = walked(rider.frames, rider.face.box, walk, number)
        shown = [*nobody(manner.gap_s, number), *came]
        owners.append(rider.name)
        spans.append((number, number + len(shown)))
        number += len(shown)
        for frame in shown:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    began = [first / FPS for first, _ in spans]
    return path, Passages(began, _usable_from(engine, identity, path, spans), owners)


def _usable_from(
    engine: DlibEngine, identity: GateIdentity, path: Path, spans: list[tuple[int, int]]
) -> list[float]:
    """For each walk-up the first moment at which the gate could have known the face."""
    frames: list[Frame] = [timed.frame for timed in recorded(path)]
    return [
        next((n / FPS for n in range(*span) if _is_usable(engine, identity, frames[n])), np.inf)
        for span in spans
    ]


def _is_usable(engine: DlibEngine, identity: GateIdentity, frame: Frame) -> bool:
    return any(
        identity.file.sees(face.box, frame) and assess(frame, face).usable
        for face in engine.find(frame)
    )


@dataclass
class _Setting:
    """What both ways of running share."""

    engine: DlibEngine
    identity: GateIdentity
    riders: list[Rider]
    clip: Path
    passages: Passages
    models: Path
    seed: int

    @property
    def names(self) -> dict[str, str]:
        return {f"{number:032x}": rider.name for number, rider in enumerate(self.riders)}

    def gate(self, door: Stopwatch) -> GateLoop:
        templates = [rider.template for rider in self.riders]
        gallery = gallery_of(templates, list(self.names), ENROLLED, self.seed)
        check = make_check("full", self.models, SHIPPED)
        return make_loop(self.identity, self.engine, gallery, check, door)


@dataclass
class Played:
    """What was seen while a clip was played in real time, once or again and again."""

    times_s: list[float] = field(default_factory=list)
    walkups: int = 0
    wrong: int = 0
    stale: int = 0
    dropped: int = 0
    frames: int = 0
    seconds: float = 0.0
    memory_mb: list[float] = field(default_factory=list)  # after each round


def _one_by_one(settings: list[_Setting]) -> list[Figure]:
    """Each clip once: in real time, and in the time that the gate itself needs."""
    played = Played()
    quiet: list[float] = []
    for setting in settings:
        _play(setting, 0.0, played)
        found, wrong = _matched(setting.passages, _opened_on_a_quiet_core(setting))
        quiet += found
        played.wrong += wrong
    return [
        *_waits(played.times_s, "", played.walkups),
        *_waits(quiet, "_quiet_core", played.walkups),
        figure(
            "opened_share", round(len(played.times_s) / played.walkups, 4), "of walk-ups", None,
            None, None, walkups=played.walkups,
        ),
        figure("opened_for_another", played.wrong, "passages", 0),
    ]  # fmt: skip


def _in_a_queue(queue: _Setting, minutes: float) -> list[Figure]:
    """Riders close behind one another for ``minutes``, in real time."""
    played = Played()
    _play(queue, minutes, played)
    came, hours = len(queue.passages.owners) / _clip_seconds(queue.clip) * 60, minutes / 60
    growth = played.memory_mb[-1] - played.memory_mb[0]
    return [
        figure(
            "passages_per_min", round(60 * len(played.times_s) / played.seconds, 1),
            "passages a minute", 30, "UK rail gates are planned for 25", 25.0,
            at_least=True,
            came_per_min=round(came, 1), minutes=round(played.seconds / 60, 1),
            wrong=played.wrong,
            p95_ms=round(float(np.percentile(played.times_s, 95)) * 1e3, 1),
        ),
        figure("stale_frames_used", played.stale, "frames older than 250 ms", 0,
               frames=played.frames),
        figure(
            "frames_dropped", round(played.dropped / (played.dropped + played.frames), 4),
            "of the camera's",
        ),
        figure(
            "memory_growth_mb", round(growth / hours, 1) if minutes >= MEMORY_MINUTES_MIN else None,
            "MB an hour", 10.0, None, None, grown_mb=round(growth, 1),
            rounds=len(played.memory_mb), resident_mb=played.memory_mb[-1],
            reason=f"only told after {MEMORY_MINUTES_MIN} minutes: --minutes",
        ),
    ]  # fmt: skip


def _play(setting: _Setting, minutes: float, played: Played) -> None:
    """Play the clip for ``minutes``, once at least, through the camera's own thread."""
    names, passages, door = setting.names, setting.passages, Stopwatch()
    loop = setting.gate(door)
    until = time.monotonic() + minutes * 60
    once = True
    while once or time.monotonic() < until:
        once = False
        door.opened.clear()
        clip = PlayedClip(setting.clip)
        camera = Camera.playing(clip)
        camera.start()
        while not camera.ended:
            timed = camera.next(0.5)
            if timed is None:
                continue
            played.stale += time.monotonic() - timed.at_s > FRAME_AGE_S_MAX
            loop.on_frame(timed.frame, timed.at_s)
            played.frames += 1
        camera.stop()
        played.seconds += time.monotonic() - (clip.began_s or 0.0)
        played.dropped += camera.replaced + camera.too_old
        opened = [(at_s - (clip.began_s or 0.0), names[who]) for at_s, who in door.opened]
        found, others = _matched(passages, opened)
        played.times_s += found
        played.wrong += others
        played.walkups += len(passages.owners)
        played.memory_mb.append(_resident_mb())
        time.sleep(1.1)  # the last passage ends


def _opened_on_a_quiet_core(setting: _Setting) -> list[tuple[float, str]]:
    door = Stopwatch()
    loop = setting.gate(door)
    frames = [timed.frame for timed in recorded(setting.clip)]
    decode_s = _decode_s(setting.clip)
    opened: list[tuple[float, str]] = []
    now_s, last = 0.0, -1
    while (number := max(last + 1, int(now_s * FPS))) < len(frames):
        begun_s, before = time.process_time(), len(door.opened)
        loop.on_frame(frames[number], number / FPS)
        spent_s = time.process_time() - begun_s + decode_s * (number - last)
        now_s, last = max(now_s, number / FPS) + spent_s, number
        opened += [(now_s, setting.names[who]) for _, who in door.opened[before:]]
    return opened


def _decode_s(clip: Path) -> float:
    """The processor time to decode one frame."""
    begun_s = time.process_time()
    frames = sum(1 for _ in recorded(clip))
    return (time.process_time() - begun_s) / max(1, frames)


def _matched(passages: Passages, opened: list[tuple[float, str]]) -> tuple[list[float], int]:
    """How long each rider waited, and how many doors opened for somebody else.

    A gate may know a face a frame before the search that says when it was usable: no wait.
    """
    waited, wrong = [], 0
    ends = [*passages.began_s[1:], np.inf]
    for began_s, end_s, usable_s, owner in zip(
        passages.began_s, ends, passages.usable_s, passages.owners, strict=True
    ):
        mine = [(at_s, who) for at_s, who in opened if began_s <= at_s < end_s]
        wrong += sum(who != owner for _, who in mine)
        waited += [max(0.0, at_s - usable_s) for at_s, who in mine if who == owner][:1]
    return waited, wrong


def _waits(times_s: list[float], kind: str, walkups: int, **extra: Any) -> list[Figure]:
    ms = np.array(times_s) * 1e3
    more: dict[str, Any] = {"passages": len(ms), "walkups": walkups, "enrolled": ENROLLED, **extra}
    figures = []
    for share, target in ((50, None), (95, 300.0), (99, 500.0)):
        value = round(float(np.percentile(ms, share)), 1) if len(ms) else None
        peer = ("contactless card gates: 500 ms", 500.0) if target else (None, None)
        figures.append(figure(f"open_p{share}_ms{kind}", value, "ms", target, *peer, **more))
    return figures


def _clip_seconds(clip: Path) -> float:
    capture = cv2.VideoCapture(str(clip))
    try:
        return float(capture.get(cv2.CAP_PROP_FRAME_COUNT) / FPS)
    finally:
        capture.release()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1)


@contextmanager
def one_core() -> Iterator[None]:
    """A gate has one core to count on; both sides are measured on the same one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
