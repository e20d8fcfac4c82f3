"""What can go wrong between a picture and an embedding."""

from __future__ import annotations

from models.errors import FacefareError


class FaceError(FacefareError):
    """Base of the errors of engines, galleries and pictures."""


class ModelFileError(FaceError):
    """A weights file is missing, truncated, or not the network it should be."""


class FrameError(FaceError):
    """A picture in a form that no engine reads."""


class EngineUnavailable(FaceError):
    """An engine's packages are missing or do not work together."""
