"""Money: decides how much, never sees a face.

Imports only ``models`` (and of that nothing about faces or riders). Handlers translate, use
cases are plain functions on a ``Ledger``, fares are pure. Whatever changes money is an entry
in the log; everything else is a projection of it.
"""
