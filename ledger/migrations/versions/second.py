"""The second schema: fares from feeds, riders' passages, closed days, blocks, automatic top-ups.

What was charged before stays as it was: earlier rides get no passages here, so they count
toward no cap and are never re-rated.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "second"
down_revision = "first"

_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.String(24)
_TO_CLOSE = sa.text("closes_at IS NOT NULL")
_IN_FORCE = sa.text("lifted_at IS NULL")
_UNANSWERED = sa.text("answered_at IS NULL")


def upgrade() -> None:
    """Make the tables; every account gets the row its fares are decided under."""
    _fares()
    _standing()
    op.execute(
        "INSERT INTO fare_state (account_id, version, held_minor) SELECT account_id, 0, 0 "
        "FROM account"
    )


def _fares() -> None:
    op.create_table(
        "feed",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("effective", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("files", sa.LargeBinary, nullable=False),
        sa.Column("activated_at", _TIME, nullable=False),
        sa.Column("activated_by", sa.String, nullable=False),
    )
    op.create_table(
        "passage",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("at", _TIME, primary_key=True),
        sa.Column("tap_id", sa.String, primary_key=True),
        sa.Column("gate", sa.String, nullable=False),
        sa.Column("station", sa.String, nullable=False),
        sa.Column("direction", sa.String, nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fare_state",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("version", _WHOLE, nullable=False),
        sa.Column("held_minor", sa.BigInteger, nullable=False),
        sa.Column("closes_at", _TIME),
        sa.Column("as_of", _TIME),
    )
    op.create_index("fare_state_to_close", "fare_state", ["closes_at"],
                    sqlite_where=_TO_CLOSE, postgresql_where=_TO_CLOSE)  # fmt: skip
    op.create_table(
        "account_category",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("first_day", sa.String, primary_key=True),
        sa.Column("last_day", sa.String, nullable=False),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("made_by", sa.String),
    )
    op.create_table(
        "day_close",
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("closed_at", _TIME, nullable=False),
    )


def _standing() -> None:
    op.create_table(
        "block",
        sa.Column("block_id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("blocked_at", _TIME, nullable=False),
        sa.Column("blocked_by", sa.String, nullable=False),
        sa.Column("lifted_at", _TIME),
        sa.Column("lifted_by", sa.String),
        sa.Column("lift_note", sa.String),
    )
    op.create_index("block_in_force", "block", ["account_id"], unique=True,
                    sqlite_where=_IN_FORCE, postgresql_where=_IN_FORCE)  # fmt: skip
    op.create_index("ix_block_account_id", "block", ["account_id"])
    op.create_table(
        "standing_feed",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )
    op.create_table(
        "auto_top_up",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("below_minor", sa.BigInteger, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )
    op.create_table(
        "top_up_request",
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("answered_at", _TIME),
        sa.Column("outcome", sa.String),
    )
    op.create_index("top_up_request_unanswered", "top_up_request", ["account_id"], unique=True,
                    sqlite_where=_UNANSWERED, postgresql_where=_UNANSWERED)  # fmt: skip
