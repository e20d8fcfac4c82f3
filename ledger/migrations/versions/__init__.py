"""The revisions, newest first by their ``down_revision``."""
