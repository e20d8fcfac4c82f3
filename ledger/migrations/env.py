"""Alembic's entry: run the revisions in the transaction that ``ledger.schema`` opened."""

from __future__ import annotations

from alembic import context

from models.tables.ledger import LedgerTable

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=LedgerTable.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=True,
)
context.run_migrations()
