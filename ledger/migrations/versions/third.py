"""Finance: roll-ups of the entries, statements, pairings, differences, periods, money in.

Triggers keep statements, their lines, pairings, notes and closed periods as they were added.
A line may still be paired (``open``) and learn its payout, once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "third"
down_revision = "second"

_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.String(24)
_AFTER_A_GAP = sa.text("chain = 'gap'")
_OPEN = sa.text("open = 1")
_UNPAID = sa.text("unpaid = 1")
_UNSETTLED = sa.text("state IN ('due', 'sent')")
_UNRESOLVED = sa.text("state = 'open'")
_NOT_CLOSED = sa.text("closed_at IS NULL")

_REFUSAL = "what was reconciled is only added, never changed"
_KEPT = {
    "statement": ("digest", "profile", "source", "name", "lines", "first_day", "last_day",
                  "imported_at"),
    "statement_line": ("line_id", "digest", "line_no", "source", "kind", "own_id", "reference",
                       "gross_minor", "fee_minor", "net_minor", "currency", "day", "booked",
                       "words"),
    "pairing": ("left_id", "right_id", "leg", "rule", "confidence_percent", "day"),
    "difference_note": ("difference_id", "version", "at", "made_by", "what", "words"),
    "period_close": ("period", "revision", "entry_id", "size", "report", "closed_at"),
    "period_reopening": ("period", "revision", "entry_id", "reason", "asked_by", "approved_by",
                         "reopened_at"),
}  # fmt: skip
_TOLD_ONCE = {"statement_line": ("payout_id",)}


def upgrade() -> None:
    """Make the tables and what keeps them."""
    _roll_ups()
    _statements()
    _differences()
    _periods()
    _money_in()
    op.execute(sa.text("INSERT INTO books (one, zone) VALUES (1, 'UTC')"))
    postgres = op.get_bind().dialect.name == "postgresql"
    for rule in _postgres_rules() if postgres else _sqlite_rules():
        op.execute(sa.text(rule))


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _words(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=nullable) for name in names]


def _amounts(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, _TIME, nullable=nullable) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _partly(
    name: str, table: str, column: list[str], where: sa.TextClause, *, unique: bool = False
) -> None:
    op.create_index(name, table, column, unique=unique, sqlite_where=where, postgresql_where=where)


def _roll_ups() -> None:
    op.create_table("books", _number("one"), *_words("zone"))
    op.create_table(
        "posting_total", *_key("account", "currency", "day"), *_amounts("lines", "minor")
    )
    op.create_table(
        "taking",
        *_key("day", "kind", "network", "route", "station", "gate", "product", "category",
              "medium", "rule", "currency"),
        *_amounts("entries", "minor", "capped_minor", "offline", "late"),
    )  # fmt: skip
    op.create_table(
        "movement",
        sa.Column("entry_seq", _WHOLE, primary_key=True, autoincrement=False),
        _number("line"),
        *_words("entry_id", "kind", "account"),
        *_amounts("minor"),
        *_words("currency", "day"),
        *_times("occurred_at"),
        *_words("corrects", nullable=True),
        *_counts("open"),
    )
    for name in ("entry_id", "day"):
        op.create_index(f"ix_movement_{name}", "movement", [name])
    _partly("movement_open", "movement", ["account", "day"], _OPEN)
    _partly("tap_after_a_gap", "tap", ["received_at"], _AFTER_A_GAP)


def _statements() -> None:
    op.create_table(
        "statement",
        *_key("digest"),
        *_words("profile", "source", "name"),
        *_counts("lines"),
        *_words("first_day", "last_day"),
        *_times("imported_at"),
    )
    op.create_table(
        "statement_line",
        *_key("line_id"),
        sa.Column("digest", sa.String, sa.ForeignKey("statement.digest"), nullable=False),
        *_counts("line_no"),
        *_words("source", "kind"),
        *_words("own_id", "reference", "payout_id", nullable=True),
        *_amounts("gross_minor", "fee_minor", "net_minor"),
        *_words("currency", "day", "booked", "words"),
        *_counts("open", "unpaid"),
    )
    for name in ("own_id", "payout_id", "booked"):
        op.create_index(f"ix_statement_line_{name}", "statement_line", [name])
    _partly("statement_line_open", "statement_line", ["source", "day"], _OPEN)
    _partly("statement_line_unpaid", "statement_line", ["day"], _UNPAID)
    op.create_table(
        "pairing",
        *_key("left_id", "right_id"),
        *_words("leg", "rule"),
        *_counts("confidence_percent"),
        *_words("day"),
    )
    op.create_index("ix_pairing_right_id", "pairing", ["right_id"])


def _differences() -> None:
    op.create_table(
        "difference",
        *_key("difference_id"),
        *_words("kind", "subject"),
        *_words("other", nullable=True),
        *_words("account"),
        *_amounts("minor", "at_stake_minor"),
        *_words("currency", "day", "severity", "owner", "words", "state"),
        *_counts("version"),
        *_words("closed_day", "reason", "entry_id", nullable=True),
    )
    op.create_index("ix_difference_subject", "difference", ["subject"])
    _partly("difference_open", "difference", ["day"], _UNRESOLVED)
    op.create_table(
        "difference_note",
        sa.Column("difference_id", sa.String, sa.ForeignKey("difference.difference_id"),
                  primary_key=True),
        _number("version"),
        *_times("at"),
        *_words("made_by", "what", "words"),
    )  # fmt: skip


def _periods() -> None:
    op.create_table(
        "period_close",
        *_key("period"),
        _number("revision"),
        *_words("entry_id"),
        *_amounts("size"),
        sa.Column("report", sa.LargeBinary, nullable=False),
        *_times("closed_at"),
    )
    op.create_table(
        "period_reopening",
        *_key("period"),
        _number("revision"),
        *_words("entry_id", "reason", "asked_by", "approved_by"),
        *_times("reopened_at"),
    )


def _money_in() -> None:
    op.create_table(
        "card",
        *_key("account_id"),
        *_words("processor", "customer", "method"),
    )
    op.create_table(
        "processor_call",
        *_key("call_id"),
        *_words("kind"),
        *_words("account_id", nullable=True),
        *_amounts("minor"),
        *_words("currency"),
        *_words("corrects", nullable=True),
        *_words("customer", "method"),
        *_counts("automatic"),
        *_words("state"),
        *_words("reference", "reason", nullable=True),
        *_counts("attempts"),
        *_times("made_at", "next_at"),
    )
    for name in ("corrects", "reference"):
        op.create_index(f"ix_processor_call_{name}", "processor_call", [name])
    _partly("processor_call_unsettled", "processor_call", ["next_at"], _UNSETTLED)
    op.create_table(
        "processor_event",
        *_key("processor", "event_id"),
        *_words("kind"),
        *_times("received_at"),
    )
    op.create_table(
        "drawer",
        *_key("drawer_id"),
        *_words("clerk", "currency"),
        *_times("opened_at"),
        *_amounts("opened_size", "opening_minor"),
        *_times("closed_at", nullable=True),
        *_amounts("expected_minor", "counted_minor", nullable=True),
        *_words("entry_id", nullable=True),
    )
    _partly("drawer_one_per_clerk", "drawer", ["clerk"], _NOT_CLOSED, unique=True)


def _unchanged(table: str, same: str) -> str:
    """The condition that a row keeps its values; what was unknown may be told once."""
    conditions = [f"NEW.{name} {same} OLD.{name}" for name in _KEPT[table]]
    conditions += [
        f"(OLD.{name} IS NULL OR NEW.{name} {same} OLD.{name})"
        for name in _TOLD_ONCE.get(table, ())
    ]
    return " AND ".join(conditions)


def _sqlite_rules() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    rules = []
    for table in _KEPT:
        rules += [
            f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE ON {table} "
            f"WHEN NOT ({_unchanged(table, 'IS')}) {refuse}",
            f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} {refuse}",
        ]
    return rules


def _postgres_rules() -> list[str]:
    raising = f"RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';"
    rules = [
        "CREATE FUNCTION is_only_added_to_finance() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {raising} END $$"
    ]
    for table in _KEPT:
        refuse = "EXECUTE FUNCTION is_only_added_to_finance()"
        unchanged = _unchanged(table, "IS NOT DISTINCT FROM")
        rules += [
            f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN (NOT ({unchanged})) {refuse}",
            f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT {refuse}",
        ]
    return rules
