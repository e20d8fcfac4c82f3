"""``facefare faces``: what the engine sees, which engines there are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.station import facefare


def test_a_good_portrait_is_said_to_be_good(stills: Path) -> None:
    done = facefare("faces", "check", str(stills / "obama.jpg"), "--json")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["engine"] == "dlib-resnet-1"
    (face,) = seen["faces"]
    assert face["gate"] == {"usable": True, "reasons": [], "advice": []}
    assert face["enrollment"]["usable"]
    assert face["measures"]["eye_distance_px"] > 90


def test_what_is_wrong_is_said_in_words(data: Path) -> None:
    picture = data / "faces" / "quality" / "reaction" / "close_eyes.jpeg"
    done = facefare("faces", "check", str(picture))
    assert done.returncode == 0, done.stderr
    assert "enrollment: Open your eyes." in done.stdout


def test_a_picture_of_nobody_has_no_faces(tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 300, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    done = facefare("faces", "check", str(tmp_path / "wall.png"))
    assert done.stdout.startswith("0 face(s) found")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("none.jpg", None, "cannot be read"), ("text.jpg", b"hello", "is not a JPEG, PNG or WebP")],
)
def test_what_is_no_picture_is_refused_in_words(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = facefare("faces", "check", str(tmp_path / name))
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr


def test_engines_say_whether_they_may_charge(tmp_path: Path) -> None:
    done = facefare("faces", "engines", "--models", str(tmp_path), "--json")
    rows = {row["engine"]: row for row in json.loads(done.stdout)}
    assert "operating points shipped" in rows["dlib-resnet-1"]["points"]
    assert "facefare faces pull" in rows["onnx:sface"]["weights"]
    assert "calibrate before charging" in rows["onnx:sface"]["points"]


def test_an_unknown_engine_is_refused_in_words(stills: Path) -> None:
    done = facefare("faces", "check", str(stills / "obama.jpg"), "--engine", "magic")
    assert done.returncode == 1
    assert "facefare faces engines" in done.stderr


def test_pulling_a_card_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    done = facefare("faces", "pull", "arcface", "--models", str(tmp_path))
    assert done.returncode == 1
    assert "there are: sface" in done.stderr


def test_a_liveness_card_without_a_public_address_says_where_its_file_comes_from(
    tmp_path: Path,
) -> None:
    done = facefare("faces", "pull", "minifasnet-v2", "--models", str(tmp_path))
    assert done.returncode == 1
    assert "no public address is known" in done.stderr
    assert "minivision-ai/Silent-Face-Anti-Spoofing" in done.stderr
    assert "yourself" in done.stderr and "Traceback" not in done.stderr


def test_liveness_weights_that_are_here_are_checked_and_tested(data: Path, tmp_path: Path) -> None:
    for file in (data / "models").glob("*MiniFASNet*.onnx"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = facefare("faces", "pull", "minifasnet-v2", "--models", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "the liveness pair is ready" in done.stdout
    broken = tmp_path / "2.7_80x80_MiniFASNetV2.onnx"
    broken.write_bytes(broken.read_bytes()[:-1])
    done = facefare("faces", "pull", "minifasnet-v2", "--models", str(tmp_path))
    assert done.returncode == 1
    assert "cut short" in done.stderr
