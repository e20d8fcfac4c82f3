"""How the fares database's schema came to be: one Alembic revision per change, both databases."""
