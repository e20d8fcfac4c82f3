"""The demo, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facefare import photographs
from facefare.cast import own_cast
from facefare.walkup import FPS, write_walkups
from gate.clips import recorded
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from tests.conftest import read_rgb

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facefare.demo", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_the_demo_charges_the_rider_and_refuses_the_stranger(tmp_path: Path) -> None:
    """The default: photographs from the package index, a rider, and a stranger behind them."""
    done = run_demo("--exit", "--json", "--data", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert set(summary) == {"sightings", "taps", "entries", "refused", "verify", "checkpoint"}
    assert (summary["taps"], summary["entries"], summary["refused"]) == (1, 2, 1)
    assert summary["verify"] == "ok"
    assert summary["checkpoint"].startswith("fares.example/demo 2 ")
    assert "--liveness off" in done.stderr
    assert (tmp_path / "kept" / "facefare.toml").is_file()


@pytest.mark.skipif(not ALL, reason="half a minute: FACEFARE_TEST_ALL=1 runs it")
def test_own_photos_and_a_clip_that_shows_somebody_else_charge_nobody(
    tmp_path: Path, engine: DlibEngine, stills: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes((stills / "obama.jpg").read_bytes())
    frame = read_rgb(stills / "biden.jpg")
    write_walkups([(frame, engine.find(frame)[0])], tmp_path / "clip.mp4", seed=5)
    clip = str(tmp_path / "clip.mp4")
    done = run_demo("--exit", "--json", "--photos", str(photos), "--clip", clip)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["taps"] == 0


def test_photos_without_a_clip_are_refused() -> None:
    done = run_demo("--photos", ".")
    assert done.returncode == 2
    assert "--photos and --clip go together" in done.stderr


def test_a_folder_without_photos_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FacefareError, match="holds no JPEG or PNG photos"):
        own_cast(tmp_path, tmp_path / "clip.mp4")


def test_a_walk_up_comes_closer_and_begins_and_ends_empty(
    tmp_path: Path, engine: DlibEngine, stills: Path
) -> None:
    frame = read_rgb(stills / "obama.jpg")
    clip = tmp_path / "clip.mp4"
    count = write_walkups([(frame, engine.find(frame)[0])], clip, seed=5)
    frames = [timed.frame for timed in recorded(clip)]
    assert len(frames) == count
    widths = [
        [face.box.width for face in engine.find(frames[at])] for at in (0, 2 * FPS, 4 * FPS, -1)
    ]
    assert widths[0] == widths[3] == []
    assert len(widths[1]) == len(widths[2]) == 1
    assert widths[2][0] > 120


def test_photographs_are_checked_against_their_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(photographs, "ARCHIVE_SHA256", "0" * 64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(photographs.PhotographsMissing, match="pip says"):
        photographs.fetch_photographs()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
