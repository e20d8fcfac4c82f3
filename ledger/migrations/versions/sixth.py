"""Passages say at which version of their rider's fares they came.

A server that keeps a rider's history then reads only what other servers added to it. What
is there already belongs to version 0: no server keeps a history from before its start.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "sixth"
down_revision = "fifth"

_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the version."""
    op.add_column("passage", sa.Column("version", _WHOLE, nullable=False, server_default="0"))
