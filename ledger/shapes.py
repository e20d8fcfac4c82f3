"""What travels over the ledger's HTTP interface, as models: handlers and the document share them.

Answers about taps are made by ``ledger.answers``; a test holds them against these models.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ledger.arrivals import SIGNED_TAP_CHARS_MAX
from ledger.charge import TAPS_MAX
from ledger.kinds import KINDS
from models.wire.tap import AccountId

Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
SignedTap = Annotated[
    str,
    Field(
        max_length=SIGNED_TAP_CHARS_MAX,
        description="A compact JWS (EdDSA, type facefare-tap+jws) over a Tap as canonical JSON.",
    ),
]


class Shape(BaseModel):
    """Nothing but its members."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProblemShape(Shape):
    """Why not (RFC 9457): a type for programs, a title and a detail for people."""

    type: str
    title: str
    detail: str
    status: int = Field(ge=400, le=599)


class AmountShape(Shape):
    """Integer minor units of an ISO 4217 currency."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    minor: int


class ChargeShape(Shape):
    """What the tap added to the rider's fares, negative where it gives money back, and why."""

    amount: AmountShape
    rule: str
    words: str


class AcceptedShape(Shape):
    """The tap is charged. ``entry`` is null until the entry has its number, moments later."""

    status: Literal["accepted", "replayed"]
    tap_id: str
    entry: int | None
    chain: Literal["ok", "gap", "fork"]
    charge: ChargeShape


class NotChargedShape(Shape):
    """The tap is kept as evidence, or refused; ``tap_id`` is null where none could be read."""

    status: Literal["quarantined", "refused"]
    tap_id: str | None
    problem: ProblemShape


class TapsRequest(Shape):
    """One tap or a batch."""

    taps: list[SignedTap] = Field(min_length=1, max_length=TAPS_MAX)


class TapsAnswer(Shape):
    """One answer per tap, in order; a bad tap does not spoil its neighbours."""

    answers: list[AcceptedShape | NotChargedShape]


class BlockedShape(Shape):
    """An account the gates should not let ride, and why, as the rider reads it too."""

    account: AccountId
    reason: str
    words: str
    since: Moment
    lifted_by: list[str]


class StandingsAnswer(Shape):
    """The blocked accounts; ``version`` rises when the list changes."""

    version: int = Field(ge=0)
    blocked: list[BlockedShape]


class WitnessShape(Shape):
    """Up to where a witness cosigned, when, and what is wrong (empty: nothing)."""

    name: str
    size: int = Field(ge=0)
    at: Moment | None
    trouble: str


class HealthAnswer(Shape):
    """How far the signed checkpoint is behind the log, and the witnesses behind that."""

    status: Literal["ok", "late", "contradicted"] = Field(
        description="late: not signed in time; contradicted: a witness has seen another log."
    )
    problem: str = Field(description="Why it is not signed, where more is known than the time.")
    entries: int = Field(ge=0)
    checkpoint_size: int | None
    unsigned_for_s: float = Field(ge=0)
    signer: str = Field(description="Host and process that sign, empty while none does.")
    witnesses: list[WitnessShape]


class PostingShape(AmountShape):
    """What moved to (positive) or from (negative) an account."""

    account: str


class EntryShape(BaseModel):
    """An entry as a bundle has it, in the members that all have; docs/ledger-format.md has more."""

    model_config = ConfigDict(extra="allow", frozen=True)

    v: Literal[1]
    seq: int = Field(ge=0)
    prev: str = Field(pattern="^[0-9a-f]{64}$")
    kind: str = Field(json_schema_extra={"enum": list(KINDS)})
    id: str
    occurred_at: Moment
    recorded_at: Moment
    amount: AmountShape
    postings: list[PostingShape]
