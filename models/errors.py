"""The root of the project's errors.

Every message is one or two sentences: what was wrong, and what to do about it. Handlers
show the message as it is; a command prints it and exits with 1.
"""

from __future__ import annotations


class FacefareError(Exception):
    """Base of every error that a person or another program may cause."""
