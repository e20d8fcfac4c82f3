"""The fare log's newest checkpoint at rest; how it is kept is in ``models.kept``."""

from __future__ import annotations

from models.kept import (
    CheckpointFile,
    CheckpointMissing,
    CheckpointMoved,
    CheckpointRefused,
    keep_empty_checkpoint,
    replace_file,
)

__all__ = [
    "CheckpointFile",
    "CheckpointMissing",
    "CheckpointMoved",
    "CheckpointRefused",
    "keep_empty_checkpoint",
    "replace_file",
]
