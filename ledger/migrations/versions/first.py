"""The first schema: accounts, entries with postings and tree nodes, taps, and the inbox.

Triggers keep entries, postings and tree nodes as they were added. A revision is a record of
what was done: nothing here follows later changes of the program.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.String(24)
_NOT_A_FORK = sa.text("chain <> 'fork'")
_NO_ENTRY = sa.text("entry_seq IS NULL")
_NOT_CHARGED = sa.text("outcome IN ('quarantined', 'refused')")
_A_CORRECTION = sa.text("corrects IS NOT NULL")

_REFUSAL = "entries are only added, never changed"
_WRONG_PLACE = "an entry has the next number and names the one before"

_MISPLACED = (
    "NEW.seq <> (SELECT COALESCE(MAX(seq) + 1, 0) FROM entry) OR NEW.prev <> "
    "COALESCE((SELECT leaf_hash FROM entry WHERE seq = NEW.seq - 1), {zeros})"
)

_ENTRY_KEPT = (
    "seq", "entry_id", "kind", "body", "leaf_hash", "prev", "recorded_at", "occurred_at",
    "amount_minor", "currency", "gate", "station", "direction", "medium", "rule", "tap_hash",
    "corrects",
)  # fmt: skip
_ONLY_ADDED = {
    "entry": (_ENTRY_KEPT, ("account_id", "made_by")),
    "posting": (("entry_seq", "line", "account", "minor", "currency"), ("account_id",)),
    "node": (("level", "position", "hash"), ()),
}
"""Tables whose rows never change: the columns that stay, and those erasure may empty."""


def upgrade() -> None:
    """Make the tables and what keeps them."""
    _accounts()
    _entries()
    _taps()
    rules = _postgres_rules() if op.get_bind().dialect.name == "postgresql" else _sqlite_rules()
    for rule in rules:
        op.execute(sa.text(rule))


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("balance_minor", sa.BigInteger, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )
    op.create_index("ix_account_balance_minor", "account", ["balance_minor"])


def _entries() -> None:
    op.create_table(
        "entry",
        sa.Column("seq", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("entry_id", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("prev", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("occurred_at", _TIME, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        *(
            sa.Column(name, sa.String)
            for name in ("gate", "station", "direction", "medium", "rule", "tap_hash",
                         "corrects", "account_id", "made_by")
        ),
    )  # fmt: skip
    op.create_index("ix_entry_recorded_at", "entry", ["recorded_at"])
    op.create_index("ix_entry_account_id", "entry", ["account_id"])
    op.create_index("entry_that_corrects", "entry", ["corrects"],
                    sqlite_where=_A_CORRECTION, postgresql_where=_A_CORRECTION)  # fmt: skip
    op.create_table(
        "posting",
        sa.Column("entry_seq", _WHOLE, sa.ForeignKey("entry.seq"), primary_key=True,
                  autoincrement=False),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("account_id", sa.String),
        sa.Column("minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_table(
        "node",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("entry_id", sa.String, primary_key=True),
        sa.Column("accepted_at", _TIME, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("contents", sa.String, nullable=False),
        sa.Column("account_id", sa.String),
        sa.Column("made_by", sa.String),
    )
    op.create_index("ix_inbox_accepted_at", "inbox", ["accepted_at"])


def _taps() -> None:
    op.create_table(
        "tap",
        sa.Column("tap_id", sa.String, primary_key=True),
        sa.Column("signed", sa.String),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("prev", sa.String, nullable=False),
        sa.Column("gate", sa.String, nullable=False),
        sa.Column("gate_seq", sa.BigInteger, nullable=False),
        sa.Column("chain", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("entry_seq", _WHOLE, sa.ForeignKey("entry.seq"), unique=True),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("account_id", sa.String),
        sa.Column("received_at", _TIME, nullable=False),
    )
    for name, columns, unique, where in (
        ("tap_once_per_number", ["gate", "gate_seq"], True, _NOT_A_FORK),
        ("tap_without_entry", ["account_id"], False, _NO_ENTRY),
        ("tap_not_charged", ["received_at"], False, _NOT_CHARGED),
    ):
        op.create_index(
            name, "tap", columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "gate_chain",
        sa.Column("gate", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
    )
    op.create_table(
        "refusal",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("gate", sa.String, nullable=False),
        sa.Column("tap_id", sa.String),
        sa.Column("problem", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("first_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
    )


def _unchanged(kept: tuple[str, ...], may_be_forgotten: tuple[str, ...], same: str) -> str:
    """The condition that a row keeps its values; some of them may become NULL."""
    conditions = [f"NEW.{name} {same} OLD.{name}" for name in kept]
    conditions += [
        f"(NEW.{name} IS NULL OR NEW.{name} {same} OLD.{name})" for name in may_be_forgotten
    ]
    return " AND ".join(conditions)


def _sqlite_rules() -> list[str]:
    misplaced = _MISPLACED.format(zeros="zeroblob(32)")
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    rules = [
        "CREATE TRIGGER entry_follows_the_one_before BEFORE INSERT ON entry "
        f"WHEN {misplaced} "
        f"BEGIN SELECT RAISE(ABORT, '{_WRONG_PLACE}'); END"
    ]
    for table, columns in _ONLY_ADDED.items():
        rules += [
            f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE ON {table} "
            f"WHEN NOT ({_unchanged(*columns, 'IS')}) {refuse}",
            f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} {refuse}",
        ]
    return rules


def _postgres_rules() -> list[str]:
    function = "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$"
    raising = "RAISE EXCEPTION '{}' USING ERRCODE = 'integrity_constraint_violation';"
    misplaced = _MISPLACED.format(zeros="decode(repeat('00', 32), 'hex')")
    follows = f"IF {misplaced} THEN {raising.format(_WRONG_PLACE)} END IF; RETURN NEW;"
    rules = [
        function.format("follows_the_one_before", follows),
        function.format("is_only_added", raising.format(_REFUSAL)),
        "CREATE TRIGGER entry_follows_the_one_before BEFORE INSERT ON entry FOR EACH ROW "
        "EXECUTE FUNCTION follows_the_one_before()",
    ]
    for table, columns in _ONLY_ADDED.items():
        unchanged = _unchanged(*columns, "IS NOT DISTINCT FROM")
        rules += [
            f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN (NOT ({unchanged})) EXECUTE FUNCTION is_only_added()",
            f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION is_only_added()",
            f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION is_only_added()",
        ]
    return rules
