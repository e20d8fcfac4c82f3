"""Cards that riders keep themselves: the processor's page, what is shown, and the way out.

A card kept before this revision has no brand and no digits to show; its rider may add it
anew. An automatic top-up from before has no ceiling and takes nothing until its rider sets one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "fourth"
down_revision = "third"

_TIME = sa.String(24)
_LONG_AGO = "1970-01-01T00:00:00.000Z"


def upgrade() -> None:
    """Add what a card shows, the pages where cards are added, and the cards to forget."""
    for name, kind, value in (
        ("brand", sa.String, ""),
        ("last4", sa.String, ""),
        ("exp_month", sa.Integer, "0"),
        ("exp_year", sa.Integer, "0"),
        ("asked_at", _TIME, _LONG_AGO),
    ):
        _add("card", name, kind, value)
    _add("auto_top_up", "week_max_minor", sa.BigInteger, "0")
    op.add_column("auto_top_up", sa.Column("paused", sa.String, nullable=True))
    _pages()
    op.create_table(
        "processor_trouble",
        sa.Column("processor", sa.String, primary_key=True),
        sa.Column("words", sa.String, nullable=False),
        sa.Column("since", _TIME, nullable=False),
    )


def _add(table: str, name: str, kind: Any, value: str) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=False, server_default=value))


def _pages() -> None:
    op.create_table(
        "card_page",
        sa.Column("page_id", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=True),
        sa.Column("processor", sa.String, nullable=False),
        sa.Column("session", sa.String, nullable=True),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
    )
    op.create_index("ix_card_page_account_id", "card_page", ["account_id"])
    op.create_table(
        "card_leaving",
        sa.Column("method", sa.String, primary_key=True),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("processor", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
    )
