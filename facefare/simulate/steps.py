"""What can happen in the city, one thing at a time.

Each step says how much later it happens and carries everything that is chance in it, such as
at which write a process dies. What a step finds in the city depends on the steps before it;
what it is does not.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

Crash = Literal["", "before commit", "after commit", "disk full"]
"""When a process dies: just before a write is durable, or just after. Or it finds no room."""

Trouble = Literal["", "request lost", "reply lost", "doubled", "delayed"]

ProcessorTrouble = Literal["none", "lose_reply", "delay", "lose_order"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens ``after_s`` seconds after the step before."""

    after_s: float
    fault: ClassVar[str] = ""  # the kind of fault this step belongs to; empty: ordinary life

    def words(self) -> str:
        """One line of the story."""
        facts = ", ".join(
            f"{f.name} {getattr(self, f.name)}"
            for f in fields(self)[1:]
            if getattr(self, f.name) not in ("", None, False)
        )
        return f"+{self.after_s:g} s  {type(self).__name__}" + (f": {facts}" if facts else "")


@dataclass(frozen=True, slots=True)
class Walk(Step):
    """A rider stands at a gate until it opens or says why not."""

    gate: int
    rider: int
    crash: Crash = ""  # the gate dies while it writes the tap
    turns_round: bool = False  # and comes back within half a minute


@dataclass(frozen=True, slots=True)
class Ride(Step):
    """A rider goes in at one gate and leaves through another, and may go on by bus."""

    rider: int
    start: int
    end: int
    minutes: int
    bus: int | None = None


@dataclass(frozen=True, slots=True)
class Deliver(Step):
    """A gate sends what waits in its outbox."""

    gate: int
    trouble: Trouble = ""
    late_by: int = 1  # after how many steps a delayed request arrives
    server_crash: Crash = ""
    gate_crash: Crash = ""  # the gate dies while it writes the answers down
    at_write: int = 1  # at which of its writes the server dies


@dataclass(frozen=True, slots=True)
class Refresh(Step):
    """A gate asks for gallery and deny list."""

    gate: int
    trouble: Trouble = ""
    late_by: int = 1
    server_crash: Crash = ""
    gate_crash: Crash = ""  # the gate dies while it keeps what it fetched
    at_write: int = 1


@dataclass(frozen=True, slots=True)
class Tick(Step):
    """The server does what is due: closes days, asks for top-ups, makes calls for cards."""

    server_crash: Crash = ""
    at_write: int = 1


@dataclass(frozen=True, slots=True)
class Holiday(Step):
    """Nothing happens for days; taps that still wait at gates arrive late after it."""


@dataclass(frozen=True, slots=True)
class TopUp(Step):
    """A rider pays at the desk; a form sent twice carries the same id."""

    rider: int
    minor: int
    doubled: bool = False
    server_crash: Crash = ""


@dataclass(frozen=True, slots=True)
class Refund(Step):
    """Staff refund a share of one of a rider's rides, now and then twice."""

    rider: int
    ride: int
    percent: int
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Block(Step):
    """Staff block a rider's account, or lift the block that is there."""

    rider: int


@dataclass(frozen=True, slots=True)
class Publish(Step):
    """The server signs a checkpoint; an outsider keeps a copy."""

    crash: Crash = ""


@dataclass(frozen=True, slots=True)
class CardTopUp(Step):
    """A rider tops up by card; ``trouble`` befalls the processor's next order."""

    rider: int
    minor: int
    trouble: ProcessorTrouble = "none"
    server_crash: Crash = ""
    at_write: int = 1


@dataclass(frozen=True, slots=True)
class AutoTopUp(Step):
    """A rider wants a top-up by card whenever the balance is low."""

    rider: int
    below_minor: int
    minor: int


@dataclass(frozen=True, slots=True)
class CardRefund(Step):
    """Staff pay some of a card top-up back to the card."""

    top_up: int
    percent: int
    trouble: ProcessorTrouble = "none"


@dataclass(frozen=True, slots=True)
class Dispute(Step):
    """The cardholder's bank takes a top-up back."""

    top_up: int
    fault: ClassVar[str] = "payments"


@dataclass(frozen=True, slots=True)
class Messages(Step):
    """The processor sends some of its messages: new ones, old ones again, in any order."""

    picks: tuple[int, ...]
    server_crash: Crash = ""
    at_write: int = 1


@dataclass(frozen=True, slots=True)
class EndOfDay(Step):
    """The processor pays out and reports, finance imports both and reconciles the day.

    The report may lack a line, and may have one twice.
    """

    lose: int | None = None
    double: int | None = None
    server_crash: Crash = ""
    at_write: int = 1


@dataclass(frozen=True, slots=True)
class ChangeFeed(Step):
    """Finance activates the next feed: it holds from the night's half past four on."""

    fault: ClassVar[str] = "feeds"


@dataclass(frozen=True, slots=True)
class Leave(Step):
    """A rider leaves and is erased, perhaps in the middle of a journey."""

    rider: int
    through: int | None = None  # the gate the rider has just gone in by
    server_crash: Crash = ""
    at_write: int = 1
    fault: ClassVar[str] = "erasure"


@dataclass(frozen=True, slots=True)
class Skew(Step):
    """A clock jumps: a gate's, or the server's. With 0 it is put right."""

    gate: int | None
    seconds: int
    fault: ClassVar[str] = "clocks"


@dataclass(frozen=True, slots=True)
class DiskFull(Step):
    """A gate's disk is full from now on, or has room again."""

    gate: int
    full: bool
    fault: ClassVar[str] = "disks"


@dataclass(frozen=True, slots=True)
class CorruptOutbox(Step):
    """Pages of a gate's outbox turn to noise; staff find out at once, or later, and set it up anew.

    ``page`` is the one that does, None for all of them.
    """

    gate: int
    noise: int
    page: int | None = None
    unnoticed: bool = False  # the gate works on, as well as it can, until it cannot
    fault: ClassVar[str] = "disks"


@dataclass(frozen=True, slots=True)
class Clone(Step):
    """Somebody copies a gate's whole disk and lets riders through with the copy."""

    gate: int
    rider: int
    fault: ClassVar[str] = "clones"


@dataclass(frozen=True, slots=True)
class Revoke(Step):
    """Staff revoke a stolen gate, which the thief uses on, and set up another in its place."""

    gate: int
    rider: int  # whom the thief lets through
    fault: ClassVar[str] = "clones"


@dataclass(frozen=True, slots=True)
class Failover(Step):
    """The database is replaced by a copy made ``steps_back`` steps ago, then put right."""

    steps_back: int
    fault: ClassVar[str] = "failover"


@dataclass(frozen=True, slots=True)
class Replay(Step):
    """Somebody sends one of the requests seen on the wire once more."""

    request: int
    fault: ClassVar[str] = "network"
