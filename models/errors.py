"""The root of the project's errors.

Every message is one or two sentences: what was wrong, and what to do about it. Handlers
show the message as it is; a command prints it and exits with 1.
"""

from __future__ import annotations


class FacefareError(Exception):
    """Base of every error that a person or another program may cause."""


def sentence(error: Exception) -> str:
    """What the journal says of ``error``: its message; where nobody expected it, its kind too."""
    return str(error) if isinstance(error, FacefareError) else f"{type(error).__name__}: {error}"
