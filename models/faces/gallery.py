"""The riders a gate may recognise: templates, and whose they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models.faces.errors import FaceError
from models.faces.scoring import Vectors, check_vectors


class MatchingError(FaceError):
    """Parts that do not belong together: engines, cohorts, sizes, numbers of frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The riders a gate may recognise: row i of ``templates`` belongs to ``accounts[i]``.

    ``templates``: float32 (n, dimensions), unit rows (1e-3). A non-contiguous array is
    copied; another type or shape, NaN, or another length raises ``EmbeddingRefused``.
    An empty gallery has shape (0, dimensions).
    """

    engine_id: str
    version: int
    accounts: tuple[str, ...]
    templates: Vectors

    def __post_init__(self) -> None:
        templates = check_vectors(self.templates, "the gallery's templates").view()
        templates.flags.writeable = False
        object.__setattr__(self, "templates", templates)
        if len(self.accounts) != len(templates):
            raise MatchingError(
                f"the gallery names {len(self.accounts)} accounts for {len(templates)} templates"
            )
        if len(set(self.accounts)) != len(self.accounts):
            raise MatchingError("the gallery holds an account twice; a rider has one template")

    def only(self, accounts: Collection[str]) -> Gallery:
        """The part of the gallery that belongs to ``accounts``; unknown ones are left out."""
        wanted = set(accounts)
        return self._rows([row for row, who in enumerate(self.accounts) if who in wanted])

    def without(self, accounts: Collection[str]) -> Gallery:
        """The gallery of everybody but ``accounts``."""
        unwanted = set(accounts)
        return self._rows([row for row, who in enumerate(self.accounts) if who not in unwanted])

    def _rows(self, rows: list[int]) -> Gallery:
        kept = tuple(self.accounts[row] for row in rows)
        return Gallery(self.engine_id, self.version, kept, self.templates[rows])
