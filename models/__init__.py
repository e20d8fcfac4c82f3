"""What two programs must agree on: values, wire messages, log mathematics, face mathematics.

Nothing here serves a page, opens a camera or holds a rule of business. ``gate``,
``enrollment`` and ``ledger`` import from here and never from each other.
"""
