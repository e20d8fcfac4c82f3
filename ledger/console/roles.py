"""Who may do what on the finance pages, and who is asking."""

from __future__ import annotations

from models.access.web import signed_in

READERS = ("finance", "auditor", "service", "admin")
TILLS = ("service", "admin")
"""Take cash and keep a drawer."""

ASKERS = ("service", "finance")
"""Give a rider something, or ask for it."""

BOOKKEEPERS = ("finance",)
"""Close periods, import statements, resolve differences, decide about credits. Not the admin,
who makes everybody's account: who lets people in does not move money with them."""

EXPORTERS = ("finance", "auditor", "admin")


def who() -> str:
    """The name of the member of staff who makes this request."""
    staff = signed_in()
    assert staff is not None  # require_role has seen to it
    return staff.name
