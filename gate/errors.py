"""What can keep a gate from working, each with a sentence for the station engineer."""

from __future__ import annotations

from models.errors import FacefareError


class GateError(FacefareError):
    """Base of the gate's errors."""


class GateConfigError(GateError):
    """The gate's directory is missing, incomplete or belongs to another gate."""


class CameraError(GateError):
    """A camera, clip or picture folder that gives no pictures."""


class ServerUnreachable(GateError):
    """The server did not answer; the gate goes on alone and tries again."""


class ServerRefused(GateError):
    """The server answered no; trying again will not help until somebody acts."""


class OutboxError(GateError):
    """The outbox cannot be written: no door may open."""


class NotReady(GateError):
    """The gate may not charge by face yet."""
