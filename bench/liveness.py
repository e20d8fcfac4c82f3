"""``facefare bench liveness``: who is asked for the pass, and which pictures get through.

APCER is the share of attacks taken for live, BPCER the share of live tracks that are not,
as in ISO/IEC 30107-3; every figure carries its sample size and a 95 % interval. The peer of
the still-picture figures is the MiniFASNet pair alone at the same threshold.

The people behind the attacks are none of those the thresholds were chosen on. The live
clips are too few for that: the figure ``live_clips_asked_own_threshold`` calibrates each
on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from bench.liveness_figures import area_figure, rate
from bench.liveness_recordings import (
    Bench,
    Seen,
    clip_paths,
    clip_stills,
    every_picture,
    people_stills,
    segments,
)
from bench.liveness_webcam import webcam_figures
from gate.clips import recorded
from gate.liveness.measuring import follow, is_live, reached
from gate.liveness.rigid import Rigidity, view_of
from gate.liveness.thresholds import SHIPPED, LivenessThreshold, calibrate
from models.faces.dlib_engine import DlibEngine
from models.faces.liveness_pair import LivenessPair
from models.faces.tracking import Tracker

STILLS = 100
BENT = 20
SEEN_PEOPLE = 1200
"""The first people in the drawn order served to choose cue and threshold; these follow."""

BENDS = {"bent": 0.05, "strongly_bent": 0.15}
"""How far a sheet of paper bows, in parts of its width."""

STEPS = STILLS + len(BENDS) * BENT + 33 + 12 + 15
PAIR_ALONE = "the MiniFASNet pair alone, same threshold"
CUES = ("stirring", "landmarks", "nose", "eyes", "mouth")
DETECT_SIDE_MAX_PX = 640


def run(seed: int, data_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure on ``data_dir``: some minutes, most of them for rendering and finding faces."""
    bench = Bench(
        DlibEngine.load(detect_side_max=DETECT_SIDE_MAX_PX), LivenessPair.load(data_dir / "models")
    )
    task = progress.add_task("liveness", total=STEPS) if progress else None

    def step() -> None:
        if progress and task is not None:
            progress.advance(task)

    clips = {}
    for path in clip_paths(data_dir):
        clips[path.stem] = list(segments(bench, path))
        step()
    replay = clips.pop("replay")
    shown = _shown(bench, data_dir, seed, step)
    figures = [
        *webcam_figures(bench, data_dir / "spoof" / "nuaa", seed, step),
        *_clip_figures(clips, replay),
        *_still_figures(shown),
        *_cue_figures(clips, shown, seed),
        _walkers(bench, data_dir / "clips" / "walkup"),
        _cost(bench, data_dir),
    ]
    return answer("liveness", seed, figures)


def _shown(
    bench: Bench, data_dir: Path, seed: int, step: Callable[[], None]
) -> dict[str, list[Seen]]:
    """The pictures held before the camera: no person in two of the kinds."""
    shown = {
        "stills": list(people_stills(bench, data_dir, STILLS, SEEN_PEOPLE, seed, 0.0, step)),
        "stills_of_live_clips": list(clip_stills(bench, data_dir, seed, step)),
    }
    for number, (name, bend) in enumerate(BENDS.items(), start=3):
        skip = SEEN_PEOPLE + STILLS * number
        shown[f"{name}_stills"] = list(people_stills(bench, data_dir, BENT, skip, seed, bend, step))
    return shown


def _clip_figures(clips: dict[str, list[Seen]], replay: list[Seen]) -> list[Figure]:
    first = {name: seen[0] for name, seen in clips.items()}
    every = [(name, seen) for name, pieces in clips.items() for seen in pieces]
    asked = sum(not seen.live(SHIPPED) for seen in first.values())
    own = 0
    for name, seen in first.items():
        threshold = calibrate([other.best() for owner, other in every if owner != name])
        own += not seen.live(threshold)
    pieces_asked = sum(not seen.live(SHIPPED) for _, seen in every)
    opened = sum(seen.live(SHIPPED) for seen in replay)
    return [
        rate("replay_clip_opened", opened, len(replay), 0.0),
        rate("live_clips_asked", asked, len(first), round(1 / 11, 4)),
        rate("live_clips_asked_own_threshold", own, len(first), round(1 / 11, 4)),
        rate("live_pieces_asked", pieces_asked, len(every), clips=len(clips)),
    ]


def _still_figures(shown: dict[str, list[Seen]]) -> list[Figure]:
    pair_only = LivenessThreshold(SHIPPED.pair_min, 0.0)
    no_pair = LivenessThreshold(0.0, SHIPPED.stirring_min)
    figures = []
    for name, seen in shown.items():
        opened, alone = (sum(s.live(t) for s in seen) for t in (SHIPPED, pair_only))
        without = sum(s.live(no_pair) for s in seen)
        more: dict[str, Any] = {"peer": PAIR_ALONE, "without_the_pair": without}
        more["peer_value"] = round(alone / len(seen), 4) if seen else None
        target = 0.05 if name == "stills" else None
        figures.append(rate(f"{name}_opened", opened, len(seen), target, **more))
    return figures


def _cue_figures(
    clips: dict[str, list[Seen]], shown: dict[str, list[Seen]], seed: int
) -> list[Figure]:
    live = [seen for pieces in clips.values() for seen in pieces]
    return [
        area_figure(
            f"{cue}_auc_{kind}",
            [(seen.owner, seen.cues[cue]) for seen in live],
            [(seen.owner, seen.cues[cue]) for seen in shown[kind] if cue in seen.cues],
            seed,
        )
        for kind in ("stills", "stills_of_live_clips")
        for cue in CUES
    ]


def _walkers(bench: Bench, folder: Path) -> Figure:
    """People who walk up to a camera: few, and in a format with 256 colours."""
    found = asked = 0
    for path in sorted(folder.glob("*.gif")):
        check = Rigidity()
        for history in follow(every_picture(path), bench.engine, bench.pair, check, 0.1):
            if reached(history).stirring is not None:
                found += 1
                asked += not is_live(history, SHIPPED)
    return rate("walkers_asked", asked, found)


def _cost(bench: Bench, data_dir: Path) -> Figure:
    """One look of both checks at one face, after detection."""
    frames = [timed.frame for timed in recorded(clip_paths(data_dir)[0])][::3]
    tracker, rigidity = Tracker(bench.engine, 1, detect_every=1), Rigidity()
    spent, views = [], []
    for frame in frames:
        tracker.observe(frame, 0.0)
        if not tracker.tracks:
            continue
        face = tracker.tracks[0].face
        started = time.perf_counter()
        bench.pair.live_share(frame, face.box)
        views.append(view_of(frame, face))
        rigidity.stirring(views[max(0, len(views) - 6)], views[-1])
        spent.append(time.perf_counter() - started)
    return figure("look_ms", round(float(np.median(spent)) * 1e3, 2), "ms", looks=len(spent))
