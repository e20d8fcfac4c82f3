"""``facefare faces``: look at a picture as the engines do, and manage engines and calibration."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, TaskID

from enrollment.photos import PhotoRefused, read_photo
from models.errors import FacefareError
from models.faces.cards import (
    DetectorCard,
    EmbedderCard,
    LivenessCard,
    check_file,
    fetch,
    find_cards,
    find_liveness_cards,
)
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Engine, Face, Frame
from models.faces.errors import ModelFileError
from models.faces.liveness_pair import PAIR, LivenessPair
from models.faces.onnx_engine import OnnxEngine, find_engine_cards
from models.faces.operating_points import NoOperatingPoint, shipped_table
from models.faces.quality import ENROLLMENT_LIMITS, GATE_LIMITS, Quality, assess
from models.options import models_option

_engine = click.option(
    "--engine", "engine_id", default=DlibEngine.engine_id, show_default=True, help="Engine id."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON line.")


class EngineUnknown(FacefareError):
    """There is no engine of this id."""


def load_engine(engine_id: str, models: Path) -> Engine:
    """Load ``dlib-resnet-1`` or ``onnx:<card>``; a ``FacefareError`` says what is missing."""
    if engine_id == DlibEngine.engine_id:
        return DlibEngine.load()
    kind, _, name = engine_id.partition(":")
    if kind != "onnx" or not name:
        raise EngineUnknown(
            f"there is no engine {engine_id!r}; see 'facefare faces engines' for those there are"
        )
    return OnnxEngine.load(*find_engine_cards(name, find_cards(models)), models)


@click.group()
def faces() -> None:
    """Engines, pictures and calibration."""


@faces.command()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@_engine
@models_option
@_json
def check(image: Path, engine_id: str, models: Path, as_json: bool) -> None:
    """Show what the engine sees in IMAGE, and why a face would or would not do."""
    try:
        frame = read_photo(image.read_bytes())
    except OSError as error:
        raise PhotoRefused(f"{image} cannot be read: {error.strerror}") from error
    except PhotoRefused as error:
        raise PhotoRefused(f"{image} cannot be used: {error}") from error
    engine = load_engine(engine_id, models)
    found = [_describe(frame, face) for face in engine.find(frame, thorough=True)]
    if as_json:
        click.echo(json.dumps({"engine": engine.engine_id, "faces": found}))
        return
    click.echo(f"{len(found)} face(s) found by {engine.engine_id}")
    for number, face in enumerate(found, start=1):
        click.echo(f"face {number}: {face['box']}, detector score {face['score']}")
        for use in ("gate", "enrollment"):
            click.echo(f"  {use}: {' '.join(face[use]['advice']) or 'good'}")
        for name, value in face["measures"].items():
            click.echo(f"  {name:16} {value}")


def _describe(frame: Frame, face: Face) -> dict[str, Any]:
    gate = assess(frame, face, GATE_LIMITS)
    desk = assess(frame, face, ENROLLMENT_LIMITS)
    return {
        "box": asdict(face.box),
        "score": round(face.score, 3),
        "measures": {name: round(value, 2) for name, value in asdict(gate.measures).items()},
        "gate": _verdict(gate),
        "enrollment": _verdict(desk),
    }


def _verdict(quality: Quality) -> dict[str, Any]:
    return {
        "usable": quality.usable,
        "reasons": [str(reason) for reason in quality.reasons],
        "advice": list(quality.sentences()),
    }


@faces.command()
@models_option
@_json
def engines(models: Path, as_json: bool) -> None:
    """List the engines, whether their weights are here, and whether they may charge."""
    cards = find_cards(models)
    rows = [_row(DlibEngine.engine_id, "comes with face_recognition_models", "CC0")]
    for card in cards.values():
        if isinstance(card, EmbedderCard):
            rows.append(_row(card.engine_id, _state(card, cards, models), card.licence))
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(
            f"{row['engine']:20} {row['weights']}; licence {row['licence']}; {row['points']}"
        )


def _row(engine_id: str, weights: str, licence: str) -> dict[str, str]:
    try:
        points = f"{len(shipped_table(engine_id).points)} operating points shipped"
    except NoOperatingPoint:
        points = "no operating point: calibrate before charging"
    return {"engine": engine_id, "weights": weights, "licence": licence, "points": points}


def _state(card: EmbedderCard, cards: dict[str, DetectorCard | EmbedderCard], models: Path) -> str:
    for needed in find_engine_cards(card.name, cards):
        try:
            check_file(needed, models / needed.file)
        except ModelFileError as error:
            return str(error)
    return "weights are here"


@faces.command()
@click.argument("name")
@models_option
def pull(name: str, models: Path) -> None:
    """Download the weights of the card NAME, check and test them; 'liveness' is both of its pair.

    Where no public address holds a file, say where it comes from; one that is here is checked.
    """
    liveness = find_liveness_cards(models)
    if name == "liveness" or name in liveness:
        for one in PAIR if name == "liveness" else (name,):
            _pull_liveness(one, liveness, models)
        return
    embedder, detector = find_engine_cards(name, find_cards(models))
    with Progress() as progress:
        for card in (detector, embedder):
            task = progress.add_task(card.file, total=card.bytes)
            fetch(card, models, partial(_show_bytes, progress, task))
    OnnxEngine.load(embedder, detector, models)
    click.echo(f"{embedder.engine_id} is ready; licences: {detector.licence}, {embedder.licence}")


def _pull_liveness(name: str, cards: dict[str, LivenessCard], models: Path) -> None:
    """One of the pair's files; the pair is tested once both are here."""
    card = cards[name]
    with Progress() as progress:
        task = progress.add_task(card.file, total=card.bytes)
        fetch(card, models, partial(_show_bytes, progress, task))
    missing = [other for other in PAIR if not (models / cards[other].file).exists()]
    if missing:
        click.echo(f"{card.file} is whole; licence: {card.licence}. Still missing: {missing[0]}")
        return
    LivenessPair.load(models)
    click.echo(f"the liveness pair is ready; licence: {card.licence}")


def _show_bytes(progress: Progress, task: TaskID, got: int) -> None:
    progress.update(task, completed=got)


@faces.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("calibration"),
    show_default=True,
    help="Where table, plots and report are written.",
)
@_engine
@models_option
@_json
def calibrate(directory: Path, out: Path, engine_id: str, models: Path, as_json: bool) -> None:
    """Measure operating points on the people of DIRECTORY (one folder of pictures a person)."""
    from models.faces.report import calibrate as measure  # loads matplotlib

    engine = load_engine(engine_id, models)
    with Progress() as progress:
        reading = progress.add_task("reading pictures", total=None)
        measuring = progress.add_task("searching", total=None)
        done = measure(
            directory,
            engine,
            out,
            on_picture=lambda read, total: progress.update(reading, completed=read, total=total),
            progress=lambda step: progress.update(measuring, description=str(step)),
        )
    if as_json:
        click.echo(json.dumps({"table": str(done.table_file), "report": str(done.page)}))
    else:
        click.echo(f"Wrote {len(done.table.points)} operating points to {done.table_file}.")
        click.echo(f"Read {done.page} before you use them.")
