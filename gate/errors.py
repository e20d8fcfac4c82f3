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
    """The server did not answer; the gate goes on alone and tries again.

    ``retry_after_s`` is how long the server asked to be left alone, 0 where it said nothing.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerRefused(GateError):
    """The server answered no; trying again will not help until somebody acts."""


class GateRevoked(ServerRefused):
    """The server says that it does not know this gate, or knows it no more."""


class OutboxError(GateError):
    """The outbox cannot be written: no door may open."""


class DoorError(GateError):
    """The door does not take commands; somebody has to look at it."""


class NotReady(GateError):
    """The gate may not charge by face yet."""
