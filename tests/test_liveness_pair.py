"""The MiniFASNet pair: its cards, its crops, and what it says of real people and real prints."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gate.clips import recorded
from gate.liveness.thresholds import SHIPPED
from models.faces.cards import (
    CardError,
    DownloadFailed,
    LivenessCard,
    check_file,
    fetch,
    find_cards,
    find_liveness_cards,
    read_card,
)
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Box
from models.faces.errors import ModelFileError
from models.faces.liveness_pair import PAIR, LivenessPair, enlarged_crop
from tests.conftest import read_rgb


@pytest.fixture(scope="module")
def models(data: Path) -> Path:
    return data / "models"


@pytest.fixture(scope="module")
def pair(models: Path) -> LivenessPair:
    return LivenessPair.load(models)


def shares_of_clip(pair: LivenessPair, engine: DlibEngine, clip: Path, every: int) -> list[float]:
    """The live share of the first face of every n-th frame, eight at most."""
    frames = [timed.frame for timed in recorded(clip)][::every][:8]
    found = [(frame, engine.find(frame)) for frame in frames]
    return [pair.live_share(frame, faces[0].box) for frame, faces in found if faces]


def shares_of_pictures(pair: LivenessPair, engine: DlibEngine, folder: Path) -> list[float]:
    frames = [read_rgb(path) for path in sorted(folder.glob("*.jpg"))[:5]]
    found = [(frame, engine.find(frame)) for frame in frames]
    return [pair.live_share(frame, faces[0].box) for frame, faces in found if faces]


def test_the_shipped_cards_are_those_of_the_real_files_and_free_to_use(models: Path) -> None:
    cards = find_liveness_cards()
    assert set(cards) == set(PAIR)
    for card in cards.values():
        check_file(card, models / card.file)
        assert card.licence == "Apache-2.0"


def test_a_liveness_card_is_no_engine() -> None:
    assert set(PAIR).isdisjoint(find_cards())


def test_a_file_without_a_public_address_is_not_pulled_but_explained(tmp_path: Path) -> None:
    card = find_liveness_cards()["minifasnet-v2"]
    assert card.source is None
    with pytest.raises(DownloadFailed, match=r"no public address .* minivision-ai/Silent-Face"):
        fetch(card, tmp_path, lambda got: None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_put_there_by_hand_is_checked(tmp_path: Path, models: Path) -> None:
    card = find_liveness_cards()["minifasnet-v2"]
    (tmp_path / card.file).write_bytes((models / card.file).read_bytes())
    assert fetch(card, tmp_path, lambda got: None) == tmp_path / card.file
    (tmp_path / card.file).write_bytes(b"x" * card.bytes)
    with pytest.raises(ModelFileError, match="is not the file of the model card"):
        fetch(card, tmp_path, lambda got: None)


def own_card(folder: Path, name: str, model: Path, **changes: object) -> LivenessCard:
    """Write a card of one's own conversion beside it."""
    data = model.read_bytes()
    values: dict[str, object] = {
        "kind": "liveness",
        "file": model.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "Apache-2.0",
        "origin": "made in a test.",
        "crop_scale": 2.7,
        "side_px": 80,
        "classes": 3,
        "live_class": 1,
        **changes,
    }
    lines = [f"{key} = {value!r}" for key, value in values.items()]
    (folder / f"{name}.toml").write_text("\n".join(lines))
    card = read_card(folder / f"{name}.toml")
    assert isinstance(card, LivenessCard)
    return card


def constant_network(path: Path) -> None:
    """A network that gives one answer to everything."""
    answer = helper.make_tensor("a", TensorProto.FLOAT, [1, 3], [0.0, 5.0, 0.0])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0, axes=[1, 2, 3]),
        helper.make_node("Mul", ["m", "zero"], ["z"]),
        helper.make_node("Add", ["a", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 80, 80])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [answer, helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


def test_a_network_that_says_live_to_everything_is_refused(tmp_path: Path) -> None:
    constant_network(tmp_path / "constant.onnx")
    for name in PAIR:
        own_card(tmp_path, name, tmp_path / "constant.onnx")
    with pytest.raises(ModelFileError, match="same answer to a black picture and to noise"):
        LivenessPair.load(tmp_path)


def test_a_card_that_does_not_fit_its_network_is_refused(tmp_path: Path, models: Path) -> None:
    for name in PAIR:
        file = find_liveness_cards()[name].file
        (tmp_path / file).write_bytes((models / file).read_bytes())
        own_card(tmp_path, name, tmp_path / file, classes=2)
    with pytest.raises(ModelFileError, match="its card says 2 classes"):
        LivenessPair.load(tmp_path)
    for name in PAIR:
        file = find_liveness_cards()[name].file
        own_card(tmp_path, name, tmp_path / file, side_px=96)
    with pytest.raises(ModelFileError, match="cannot be run as its card says"):
        LivenessPair.load(tmp_path)


def test_missing_weights_and_text_pointers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"the weights .* are missing"):
        LivenessPair.load(tmp_path)
    file = find_liveness_cards()["minifasnet-v2"].file
    (tmp_path / file).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelFileError, match="is a text pointer to the weights"):
        LivenessPair.load(tmp_path)


def test_a_liveness_card_that_is_wrong_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("kind = 'liveness'\nfile = 'a.onnx'\n")
    with pytest.raises(CardError, match="Field required"):
        read_card(tmp_path / "bad.toml")


@pytest.mark.parametrize("person", ["0001", "0005", "0009"])
def test_webcam_prints_look_like_pictures_and_their_sitters_alive(
    pair: LivenessPair, engine: DlibEngine, data: Path, person: str
) -> None:
    live = shares_of_pictures(pair, engine, data / "spoof" / "nuaa" / "live" / person)
    prints = shares_of_pictures(pair, engine, data / "spoof" / "nuaa" / "print" / person)
    assert len(live) == len(prints) == 5
    assert np.mean(live) >= SHIPPED.pair_min
    assert np.mean(prints) < SHIPPED.pair_min / 2


def test_a_phone_that_plays_a_face_looks_like_a_picture(
    pair: LivenessPair, engine: DlibEngine, data: Path
) -> None:
    video = data / "spoof" / "video"
    assert max(shares_of_clip(pair, engine, video / "replay.mp4", 9)) < SHIPPED.pair_min / 2
    assert min(shares_of_clip(pair, engine, video / "live.mp4", 13)) > 0.5


def test_dlibs_box_is_mapped_to_the_kind_the_networks_know(
    pair: LivenessPair, engine: DlibEngine, data: Path
) -> None:
    """This speaker's share is 0.34 with the box as dlib gives it, 0.9 with the mapped one."""
    clip = data / "clips" / "speakers" / "driving_d18.mp4"
    assert np.mean(shares_of_clip(pair, engine, clip, 27)) > 0.7


@pytest.mark.parametrize(
    "box",
    [
        Box(-30, -30, 70, 70),
        Box(90, 60, 190, 160),
        Box(-200, -200, 500, 500),
        Box(10, 10, 11, 11),
        Box(1000, 1000, 1100, 1100),
    ],
    ids=["left corner", "right border", "larger than the picture", "one pixel", "outside"],
)
def test_a_crop_stays_inside_the_picture(box: Box) -> None:
    rows = np.arange(120, dtype=np.uint8)[:, None, None]
    frame = np.ascontiguousarray(np.broadcast_to(rows, (120, 160, 3)))
    crop = enlarged_crop(frame, box, 2.7, 80)
    assert crop.shape == (80, 80, 3)
    assert crop.min() >= 0 and crop.max() < 120


def test_a_crop_is_the_box_enlarged_about_its_middle() -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[:, 200:] = 255
    crop = enlarged_crop(frame, Box(152, 150, 252, 250), 2.7, 80)  # the mapped middle: x = 200
    assert np.abs(int((crop[40] > 127)[:, 0].argmax()) - 40) <= 1
