"""The words of the rider's pages for what is kept as short codes."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

DISPUTE_REASONS: dict[str, LazyString] = {
    "not-me": _l("That was not me"),
    "wrong-fare": _l("The fare is wrong"),
    "not-travelled": _l("I did not travel"),
    "twice": _l("I was charged twice"),
}

_DISPUTES: dict[str, LazyString] = {
    "open": _l("You were given the money back for now; staff look into the ride."),
    "credited": _l("You were given the money back for now; staff look into the ride."),
    "asked": _l("Staff look into the ride; the amount is above what is given back at once."),
    "upheld": _l("You were right: the money stays with you."),
    "rejected": _l("Staff looked into it: the charge was right."),
}

_TABLES: dict[str, LazyString] = {
    "rider": _l("your name, category, PIN and telephone digits"),
    "consent": _l("your consents"),
    "template": _l("your face template"),
    "rider_station": _l("your stations"),
    "riderstation": _l("your stations"),
    "pass": _l(
        "passes (their numbers stay on the gates' list of refused passes until they expire)"
    ),
    "rider_session": _l("your sessions on these pages"),
    "start_code": _l("your start code"),
    "passkey": _l("your passkeys"),
    "passkey_challenge": _l("unfinished passkeys"),
    "open_case": _l("cases of staff about you"),
    "access_entry": _l(
        "looks of staff at your record (who looked stays in the log, at whom does not)"
    ),
}


def dispute_words(state: str) -> str:
    """What became of a dispute."""
    return str(_DISPUTES.get(state, state))


def table_words(table: str) -> str:
    """What the rows of a table are, to the rider; a table without words keeps its name."""
    return str(_TABLES.get(table, table.replace("_", " ")))
