"""The check for prints at the desk: there if its weights were fetched, and said so if not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from models.faces.cards import CardError
from models.faces.errors import ModelFileError
from models.faces.liveness_pair import LivenessPair

log = logging.getLogger(__name__)


def pair_in(models: Path) -> Callable[[], LivenessPair | None]:
    """How to load the pair of the folder ``models``; None, and a warning, where it is not."""

    def load() -> LivenessPair | None:
        try:
            return LivenessPair.load(models)
        except (ModelFileError, CardError) as error:
            log.warning(
                "photos at the desk are not checked for prints and screens (%s); "
                "run 'facefare faces pull liveness' and start again", error,
            )  # fmt: skip
            return None

    return load
