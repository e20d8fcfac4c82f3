"""The slot for other embedders: cards, downloads that are checked, broken models refused."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from facefare.faces import faces
from models.faces.cards import (
    CardError,
    DetectorCard,
    DownloadFailed,
    EmbedderCard,
    check_file,
    fetch,
    find_cards,
    read_card,
)
from models.faces.dlib_engine import DlibEngine
from models.faces.errors import ModelFileError
from models.faces.onnx_engine import OnnxEngine, align, find_engine_cards
from models.faces.operating_points import NoOperatingPoint, shipped_table
from tests.conftest import read_rgb

EMBEDDER = "mobilefacenet_photo_analyze.onnx"
DETECTOR = "face_detection_yunet_2023mar.onnx"


def embedder_card(file: Path, **changes: object) -> EmbedderCard:
    """The card of a test-only embedder; its provenance is unknown, so it is never shipped."""
    data = file.read_bytes()
    values = {
        "name": "test-only",
        "kind": "embedder",
        "file": file.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "source": "http://127.0.0.1:9/none",
        "licence": "unknown",
        "detector": "yunet",
        "side_px": 112,
        "channels": "RGB",
        "mean": 127.5,
        "scale": 1 / 127.5,
        "dimensions": 128,
    }
    return EmbedderCard.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def models(data: Path) -> Path:
    return data / "models"


@pytest.fixture(scope="module")
def yunet() -> DetectorCard:
    card = find_cards()["yunet"]
    assert isinstance(card, DetectorCard)
    return card


@pytest.fixture(scope="module")
def slot(models: Path, yunet: DetectorCard) -> OnnxEngine:
    return OnnxEngine.load(embedder_card(models / EMBEDDER), yunet, models)


def test_the_shipped_cards_are_complete_and_free_to_use() -> None:
    cards = find_cards()
    assert {name: card.licence for name, card in cards.items()} == {
        "sface": "Apache-2.0",
        "yunet": "MIT",
    }
    embedder, detector = find_engine_cards("sface", cards)
    assert (embedder.engine_id, detector.name) == ("onnx:sface", "yunet")


def test_the_yunet_card_is_that_of_the_real_file(models: Path, yunet: DetectorCard) -> None:
    check_file(yunet, models / DETECTOR)


def test_it_finds_the_same_face_as_the_default_engine(
    slot: OnnxEngine, engine: DlibEngine, stills: Path
) -> None:
    """The refitted box covers what dlib's detector would have found."""
    for name in ("obama.jpg", "biden.jpg", "obama2.jpg"):
        frame = read_rgb(stills / name)
        (ours,) = slot.find(frame)
        (theirs,) = engine.find(frame, thorough=True)
        assert ours.box.overlap(theirs.box) > 0.6, name
        eye_distance = np.linalg.norm(theirs.landmarks[36] - theirs.landmarks[45])
        shift = np.linalg.norm(ours.landmarks - theirs.landmarks, axis=1).mean()
        assert shift < 0.1 * eye_distance, name


def test_it_tells_two_people_apart(slot: OnnxEngine, stills: Path) -> None:
    rows = {}
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg"):
        frame = read_rgb(stills / name)
        rows[name] = slot.embed(frame, slot.find(frame))[0]
        assert rows[name].shape == (128,)
        assert np.linalg.norm(rows[name]) == pytest.approx(1.0, abs=1e-5)
    assert rows["obama.jpg"] @ rows["obama2.jpg"] > 0.5
    assert rows["obama.jpg"] @ rows["biden.jpg"] < 0.3


def test_it_sees_many_faces_at_once(slot: OnnxEngine, data: Path) -> None:
    """Thirty faces side by side; the network was made for one frame, not for one face."""
    people = sorted((data / "faces" / "lfw").iterdir())[:30]
    pictures = [read_rgb(sorted(person.iterdir())[0]) for person in people]
    wall = np.vstack([np.hstack(pictures[row * 6 : row * 6 + 6]) for row in range(5)])
    faces = slot.find(wall, thorough=True)
    assert len(faces) >= 28
    assert slot.embed(wall, faces).shape == (len(faces), 128)


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 500, 3), (480, 640, 3)])
def test_a_picture_without_a_face_has_none(slot: OnnxEngine, shape: tuple[int, int, int]) -> None:
    assert slot.find(np.full(shape, 90, np.uint8)) == []
    assert slot.embed(np.full((64, 64, 3), 90, np.uint8), []).shape == (0, 128)


def test_an_aligned_face_has_its_eyes_where_embedders_expect_them(
    slot: OnnxEngine, stills: Path
) -> None:
    frame = read_rgb(stills / "obama.jpg")
    (face,) = slot.find(frame)
    chip = align(frame, face.landmarks, 112)
    assert chip.shape == (112, 112, 3)
    turned = np.ascontiguousarray(np.rot90(frame, 2))
    height, width = frame.shape[:2]
    points = np.array([width - 1, height - 1]) - face.landmarks
    again = align(turned, points.astype(np.float32), 112)
    assert np.abs(chip.astype(int) - again).mean() < 6  # upside down and back again


def test_landmarks_that_coincide_align_to_nothing() -> None:
    frame = np.full((100, 100, 3), 90, np.uint8)
    assert align(frame, np.full((68, 2), 50, np.float32), 112).shape == (112, 112, 3)


def constant_model(path: Path, outputs: int = 128) -> None:
    """An embedder that maps everybody to one vector."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1, outputs], [1.0] * outputs)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0, axes=[1, 2, 3]),
        helper.make_node("Mul", ["m", "zero"], ["z"]),
        helper.make_node("Add", ["w", "z"], ["y"]),
    ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs])],
        [weights, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path: Path, models: Path) -> Path:
    (tmp_path / DETECTOR).write_bytes((models / DETECTOR).read_bytes())
    return tmp_path


def test_an_embedder_that_maps_everybody_to_one_vector_is_refused(
    folder: Path, yunet: DetectorCard
) -> None:
    constant_model(folder / "constant.onnx")
    with pytest.raises(ModelFileError, match="cannot tell two faces apart"):
        OnnxEngine.load(embedder_card(folder / "constant.onnx"), yunet, folder)


def test_an_embedder_of_another_size_than_its_card_is_refused(
    folder: Path, yunet: DetectorCard, models: Path
) -> None:
    (folder / EMBEDDER).write_bytes((models / EMBEDDER).read_bytes())
    with pytest.raises(ModelFileError, match="gives 128 numbers, its card says 512"):
        OnnxEngine.load(embedder_card(folder / EMBEDDER, dimensions=512), yunet, folder)
    with pytest.raises(ModelFileError, match="cannot be run as its card says"):
        OnnxEngine.load(embedder_card(folder / EMBEDDER, side_px=96), yunet, folder)


def test_a_text_pointer_instead_of_weights_is_named(folder: Path, yunet: DetectorCard) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / DETECTOR).write_text(pointer)
    with pytest.raises(ModelFileError, match="is a text pointer to the weights"):
        check_file(yunet, folder / DETECTOR)


def test_a_truncated_or_changed_file_is_named(folder: Path, yunet: DetectorCard) -> None:
    whole = (folder / DETECTOR).read_bytes()
    (folder / DETECTOR).write_bytes(whole[:-1])
    with pytest.raises(ModelFileError, match="has 232588 bytes instead of 232589"):
        check_file(yunet, folder / DETECTOR)
    (folder / DETECTOR).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(ModelFileError, match="is not the file of the model card"):
        check_file(yunet, folder / DETECTOR)
    (folder / DETECTOR).unlink()
    with pytest.raises(ModelFileError, match="facefare faces pull yunet"):
        check_file(yunet, folder / DETECTOR)


def test_a_file_that_is_no_model_is_refused(folder: Path, yunet: DetectorCard) -> None:
    (folder / "noise.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="cannot be loaded as an ONNX model"):
        OnnxEngine.load(embedder_card(folder / "noise.onnx"), yunet, folder)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP on loopback."""
    served = tmp_path / "served"
    served.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def at(card: DetectorCard, source: str) -> DetectorCard:
    return card.model_copy(update={"source": source})


def test_weights_are_fetched_checked_and_kept(
    shelf: tuple[Path, str], tmp_path: Path, models: Path, yunet: DetectorCard
) -> None:
    served, address = shelf
    (served / "yunet.onnx").write_bytes((models / DETECTOR).read_bytes())
    seen: list[int] = []
    card = at(yunet, f"{address}/yunet.onnx")
    path = fetch(card, tmp_path / "kept", seen.append)
    assert seen[-1] == card.bytes
    (served / "yunet.onnx").unlink()
    assert fetch(card, tmp_path / "kept", seen.append) == path  # no second download


@pytest.mark.parametrize(
    ("served_as", "said"),
    [
        (lambda whole: whole[:1000], "bytes instead of"),
        (lambda whole: whole + b"x" * 100_000, "bytes instead of"),
        (lambda whole: bytes(len(whole)), "is not the file of the model card"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\n", "text pointer"),
    ],
    ids=["truncated", "longer", "other bytes", "pointer"],
)
def test_a_download_that_is_not_the_file_leaves_nothing(
    shelf: tuple[Path, str],
    tmp_path: Path,
    models: Path,
    yunet: DetectorCard,
    served_as: object,
    said: str,
) -> None:
    served, address = shelf
    assert callable(served_as)
    (served / "yunet.onnx").write_bytes(served_as((models / DETECTOR).read_bytes()))
    with pytest.raises(ModelFileError, match=said):
        fetch(at(yunet, f"{address}/yunet.onnx"), tmp_path / "kept", lambda got: None)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_file_that_is_not_served_says_so(
    shelf: tuple[Path, str], tmp_path: Path, yunet: DetectorCard
) -> None:
    with pytest.raises(DownloadFailed, match="404"):
        fetch(at(yunet, f"{shelf[1]}/none.onnx"), tmp_path / "kept", lambda got: None)


def own_card(folder: Path, file: Path, source: str, **changes: object) -> None:
    """An operator's own card for ``file``, in the folder that ``facefare faces`` reads."""
    card = embedder_card(file, source=source, name="own", **changes).model_dump(exclude={"name"})
    lines = (f"{key} = {json.dumps(value)}" for key, value in card.items())
    (folder / "own.toml").write_text("\n".join(lines))


def pull(folder: Path) -> Result:
    return CliRunner().invoke(faces, ["pull", "own", "--models", str(folder)])


def test_pull_refuses_an_embedder_that_maps_two_people_to_one_vector(
    shelf: tuple[Path, str], folder: Path
) -> None:
    served, address = shelf
    constant_model(served / "constant.onnx")
    own_card(folder, served / "constant.onnx", f"{address}/constant.onnx")
    done = pull(folder)
    assert isinstance(done.exception, ModelFileError)
    assert "cannot tell two faces apart" in str(done.exception)
    assert "is ready" not in done.output


@pytest.mark.parametrize(
    ("served_as", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "text pointer"),
        (b"short", "cut short or another file"),
        (None, "is not the file of the model card"),
    ],
    ids=["pointer", "truncated", "wrong sha"],
)
def test_pull_keeps_nothing_that_is_not_the_cards_file(
    shelf: tuple[Path, str], folder: Path, models: Path, served_as: bytes | None, said: str
) -> None:
    served, address = shelf
    whole = (models / EMBEDDER).read_bytes()
    (served / EMBEDDER).write_bytes(bytes(len(whole)) if served_as is None else served_as)
    own_card(folder, models / EMBEDDER, f"{address}/{EMBEDDER}")
    done = pull(folder)
    assert isinstance(done.exception, ModelFileError)
    assert said in str(done.exception)
    assert not list(folder.glob(f"{EMBEDDER}*"))


def test_pull_takes_an_embedder_that_is_whole_and_works(
    shelf: tuple[Path, str], folder: Path, models: Path
) -> None:
    served, address = shelf
    (served / EMBEDDER).write_bytes((models / EMBEDDER).read_bytes())
    own_card(folder, models / EMBEDDER, f"{address}/{EMBEDDER}")
    done = pull(folder)
    assert done.exit_code == 0, done.output
    assert "onnx:own is ready" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = 'embedder'", "Field required"),
        ("kind = 'oracle'", "oracle"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_card_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(CardError, match=said):
        read_card(tmp_path / "bad.toml")


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(CardError, match="there are: sface"):
        find_engine_cards("arcface", find_cards())


def test_an_operators_own_card_stands_beside_the_shipped_ones(tmp_path: Path, models: Path) -> None:
    card = embedder_card(models / EMBEDDER)
    lines = [
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}"
        for name, value in card.model_dump(exclude={"name"}).items()
    ]
    (tmp_path / "own.toml").write_text("\n".join(lines))
    assert find_cards(tmp_path)["own"].model_copy(update={"name": "test-only"}) == card


def test_no_engine_may_charge_before_it_is_calibrated() -> None:
    with pytest.raises(NoOperatingPoint, match="facefare faces calibrate"):
        shipped_table("onnx:sface")
