"""The database tables. A ``table=True`` class does not validate: validate a plain model first."""
