"""Who may do what on the finance pages, and who is asking."""

from __future__ import annotations

from models.access.web import signed_in

READERS = ("finance", "auditor", "service", "admin")
TILLS = ("service", "admin")
"""Take cash and keep a drawer."""

BOOKKEEPERS = ("finance", "admin")
"""Close periods, import statements, resolve differences, decide about credits."""

EXPORTERS = ("finance", "auditor", "admin")


def who() -> str:
    """The name of the member of staff who makes this request."""
    staff = signed_in()
    assert staff is not None  # require_role has seen to it
    return staff.name
