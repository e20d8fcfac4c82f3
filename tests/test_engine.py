"""The default engine on real photographs: parity with face_recognition, and odd pictures."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.faces.dlib_engine import (
    PARITY_L2_MAX,
    DlibEngine,
    import_face_recognition,
    onnx_embedder,
    reference_embedder,
)
from models.faces.dlib_weights import build_onnx, read_parameters
from models.faces.engine import Frame
from models.faces.errors import EngineUnavailable, FrameError, ModelFileError
from tests.conftest import read_rgb


@pytest.fixture(scope="module")
def portrait(stills: Path) -> Frame:
    return read_rgb(stills / "obama.jpg")


def test_it_finds_the_one_face_of_a_portrait(engine: DlibEngine, portrait: Frame) -> None:
    (face,) = engine.find(portrait)
    assert 200 < face.box.width < 350
    assert face.landmarks.shape == (68, 2)


def test_embeddings_are_float32_rows_of_unit_length(engine: DlibEngine, portrait: Frame) -> None:
    embeddings = engine.embed(portrait, engine.find(portrait))
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (1, 128)
    assert np.linalg.norm(embeddings[0]) == pytest.approx(1.0, abs=1e-6)


def test_two_pictures_of_one_person_are_closer_than_two_people(
    engine: DlibEngine, stills: Path
) -> None:
    rows = {
        name: engine.embed(frame, engine.find(frame, thorough=True)[:1])[0]
        for name in ("obama.jpg", "obama2.jpg", "biden.jpg")
        for frame in [read_rgb(stills / name)]
    }
    same = float(rows["obama.jpg"] @ rows["obama2.jpg"])
    other = float(rows["obama.jpg"] @ rows["biden.jpg"])
    assert same > 0.94 > 0.9 > other


def test_a_mirrored_picture_has_nearly_the_same_embedding(
    engine: DlibEngine, portrait: Frame
) -> None:
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    straight = engine.embed(portrait, engine.find(portrait))[0]
    turned = engine.embed(mirrored, engine.find(mirrored))[0]
    assert float(straight @ turned) > 0.99


def test_a_reversed_view_gives_the_same_faces_as_its_copy(
    engine: DlibEngine, portrait: Frame
) -> None:
    """dlib alone reads such a view after its memory is gone."""
    view = portrait[:, :, ::-1]
    assert not view.flags.c_contiguous
    copied = engine.find(np.ascontiguousarray(view))
    for _ in range(4):
        assert [face.box for face in engine.find(view)] == [face.box for face in copied]


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (39, 500, 3), (0, 0, 3)], ids=["one pixel", "a strip", "nothing"]
)
def test_a_picture_too_small_for_a_face_has_none(
    engine: DlibEngine, shape: tuple[int, int, int]
) -> None:
    assert engine.find(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((100, 100), np.uint8),
        np.zeros((100, 100, 4), np.uint8),
        np.zeros((100, 100, 3), np.uint16),
        np.zeros((100, 100, 3), np.float32),
    ],
    ids=["grey", "RGBA", "16-bit", "float"],
)
def test_what_is_not_an_rgb_frame_is_refused_in_words(engine: DlibEngine, picture: Any) -> None:
    with pytest.raises(FrameError, match=r"three channels \(RGB\) of 8 bits"):
        engine.find(picture)


def test_an_8k_picture_is_searched_on_a_smaller_copy(engine: DlibEngine, portrait: Frame) -> None:
    large = np.zeros((4320, 7680, 3), np.uint8)
    patch = np.kron(portrait, np.ones((3, 3, 1), np.uint8))
    large[: patch.shape[0], : patch.shape[1]] = patch
    (face,) = engine.find(large)
    assert 600 < face.box.width < 1000  # in pixels of the large picture


def test_no_faces_embed_to_an_empty_array(engine: DlibEngine, portrait: Frame) -> None:
    assert engine.embed(portrait, []).shape == (0, 128)


def test_the_fast_network_agrees_with_face_recognition(engine: DlibEngine, stills: Path) -> None:
    """Same chips through both; the limit is that of the accuracy claim."""
    api = import_face_recognition()
    chips = np.stack(
        [
            engine.chip(frame, face)
            for name in ("obama.jpg", "obama2.jpg", "biden.jpg")
            for frame in [read_rgb(stills / name)]
            for face in engine.find(frame, thorough=True)
        ]
    )
    fast = onnx_embedder(Path(api.face_recognition_model))(chips)
    slow = reference_embedder(api)(chips)
    assert len(chips) >= 3
    assert float(np.linalg.norm(fast - slow, axis=1).max()) <= PARITY_L2_MAX


def test_an_embedding_is_the_mean_over_four_views_through_the_reference_network(
    engine: DlibEngine, portrait: Frame
) -> None:
    """Written out with dlib alone: its crops, its network, and the mean in float64."""
    api = import_face_recognition()
    (face,) = engine.find(portrait)
    box = api.dlib.rectangle(face.box.left, face.box.top, face.box.right, face.box.bottom)
    outline = api.pose_predictor_68_point(portrait, box)
    five = api.pose_predictor_5_point(portrait, box)
    plain = api.dlib.get_face_chip(portrait, outline, 150, 0.25)
    views = [
        plain,
        plain[:, ::-1],
        api.dlib.get_face_chip(portrait, outline, 150, 0.15)[:, ::-1],
        api.dlib.get_face_chip(portrait, five, 150, 0.25),
    ]
    rows = reference_embedder(api)(np.stack(views)).astype(np.float64)
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    ours = engine.embed(portrait, [face])[0]
    assert float(np.linalg.norm(ours - mean / np.linalg.norm(mean))) <= PARITY_L2_MAX


def test_the_four_views_are_nearer_to_another_picture_than_one_is(
    engine: DlibEngine, stills: Path
) -> None:
    pictures = [read_rgb(stills / name) for name in ("obama.jpg", "obama2.jpg")]
    found = [(frame, engine.find(frame, thorough=True)[0]) for frame in pictures]
    one = [engine._embedder(engine.chip(frame, face)[None])[0] for frame, face in found]
    four = [engine.embed(frame, [face])[0] for frame, face in found]
    single = float(one[0] @ one[1] / np.linalg.norm(one[0]) / np.linalg.norm(one[1]))
    assert float(four[0] @ four[1]) > single


def test_face_encodings_of_face_recognition_are_the_same_numbers(
    engine: DlibEngine, portrait: Frame
) -> None:
    import face_recognition

    (face,) = engine.find(portrait)
    box = (face.box.top, face.box.right, face.box.bottom, face.box.left)
    (theirs,) = face_recognition.face_encodings(portrait, [box], model="large")
    ours = engine._embedder(engine.chip(portrait, face)[None])[0]
    assert float(np.linalg.norm(ours - theirs)) <= PARITY_L2_MAX


def weights() -> Path:
    return Path(import_face_recognition().face_recognition_model)


def test_a_truncated_weights_file_is_refused_with_the_byte(tmp_path: Path) -> None:
    short = tmp_path / "short.dat"
    short.write_bytes(weights().read_bytes()[:1_000_000])
    with pytest.raises(ModelFileError, match="ends early, at byte 1000000"):
        read_parameters(short)


def test_another_dlib_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.dat"
    other.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ModelFileError, match="this is not dlib_face_recognition_resnet_model_v1"):
        read_parameters(other)


def test_a_longer_file_is_refused(tmp_path: Path) -> None:
    """The whole file is read: nothing may follow the last layer."""
    longer = tmp_path / "longer.dat"
    longer.write_bytes(weights().read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="bytes follow"):
        read_parameters(longer)


def test_the_graph_has_the_size_of_its_weights() -> None:
    assert 22_000_000 < len(build_onnx(read_parameters(weights()))) < 23_000_000


def test_a_missing_models_package_is_an_error_and_not_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """face_recognition quits with code 0 where it cannot import its models."""
    for name in [n for n in sys.modules if n.split(".")[0].startswith("face_recognition")]:
        monkeypatch.delitem(sys.modules, name)
    real_import = builtins.__import__

    def refuse_models(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "face_recognition_models":
            raise ImportError("No module named 'pkg_resources'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse_models)
    monkeypatch.setattr(builtins, "quit", lambda: sys.exit(0), raising=False)
    with pytest.raises(EngineUnavailable, match="setuptools<81"):
        import_face_recognition()


def test_thirty_faces_are_found_and_embedded_at_once(engine: DlibEngine, data: Path) -> None:
    people = sorted((data / "faces" / "lfw").iterdir())[:30]
    pictures = [read_rgb(sorted(person.iterdir())[0]) for person in people]
    wall = np.vstack([np.hstack(pictures[row * 6 : row * 6 + 6]) for row in range(5)])
    faces = DlibEngine.load(detect_side_max=1600).find(wall, thorough=True)
    assert len(faces) >= 28
    rows = engine.embed(wall, faces)
    assert rows.shape == (len(faces), 128)
    strangers = rows @ rows.T - np.eye(len(faces))
    assert float(strangers.max()) < 0.97  # thirty different people


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_face_cut_by_the_border_is_embedded_without_harm(
    engine: DlibEngine, portrait: Frame, side: str
) -> None:
    (face,) = engine.find(portrait)
    box = face.box
    cut = {
        "left": portrait[:, box.left + box.width // 4 :],
        "right": portrait[:, : box.right - box.width // 4],
        "top": portrait[box.top + box.height // 4 :],
        "bottom": portrait[: box.bottom - box.height // 6],
    }[side]
    frame = np.ascontiguousarray(cut)
    rows = engine.embed(frame, engine.find(frame, thorough=True))
    assert np.isfinite(rows).all()
