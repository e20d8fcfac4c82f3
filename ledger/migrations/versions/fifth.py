"""Differences say what is wrong by a code with values, and no longer in English.

What was kept as words stays readable: it becomes the value of a code of its own.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "fifth"
down_revision = "fourth"


def upgrade() -> None:
    """Rename the column, and wrap what it held."""
    op.execute("ALTER TABLE difference RENAME COLUMN words TO said")
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT difference_id, said FROM difference")).all()
    for row in rows:
        said = json.dumps(
            {"code": "as_written", "text": row.said},
            ensure_ascii=False, sort_keys=True, separators=(",", ":"),
        )  # fmt: skip
        connection.execute(
            sa.text("UPDATE difference SET said = :said WHERE difference_id = :name"),
            {"said": said, "name": row.difference_id},
        )
