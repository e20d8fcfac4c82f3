"""Close service days: journeys whose other tap never came are charged, once it cannot come.

    facefare ledger close-day     now, and say what was done
    Timer(ledger).start()         every minute, in the server; on several servers it does no harm

A journey is decided when its service day is over and it could not go on any more: the
rider's usual trip where there is one, else the maximum fare, out of what was held for it.
Each rider is settled in a transaction that holds the rider's row, so nothing is charged
twice, whoever looks and however often; a crash leaves the others for the next time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlmodel import col

from ledger.accounts import account_keys
from ledger.autotopup import ask_for_top_ups
from ledger.erasure import forget_erased
from ledger.fares.calendars import day_starts, service_day
from ledger.histories import Riders
from ledger.holds import expire_holds
from ledger.ledger import Ledger
from ledger.pricing import settle_rider
from ledger.sequencer import accept_into
from models.database import reading, sharing, writing
from models.errors import sentence
from models.tables.ledger import DayCloseRow, FareStateRow

INTERVAL_S = 30.0
RIDERS_AT_ONCE = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing did: entries made, and the last service day that is closed by now."""

    entries: int
    riders: int
    through: date


def close_days(ledger: Ledger) -> Closed:
    """Charge every journey whose time is over by now; nothing the second time."""
    due, entries = _due(ledger), 0
    for start in range(0, len(due), RIDERS_AT_ONCE):
        entries += _settle(ledger, dict(due[start : start + RIDERS_AT_ONCE]))
    return Closed(entries, len(due), _mark(ledger))


def _due(ledger: Ledger) -> list[tuple[str, datetime]]:
    """The riders with a journey to decide, and since when."""
    account, closes_at = col(FareStateRow.account_id), col(FareStateRow.closes_at)
    query = select(account, closes_at).where(closes_at.is_not(None), closes_at <= ledger.clock())
    with reading(ledger.engine) as session:
        return [(row.account_id, row.closes_at) for row in session.execute(query)]


def _settle(ledger: Ledger, due: dict[str, datetime]) -> int:
    keys = account_keys(ledger.vault, due)
    made = 0
    with sharing(ledger.engine) as session:
        log = accept_into(session, ledger.clock())
        riders = Riders(session, ledger.fares, due, ledger.settings.currency)
        for account_id in sorted(due):
            rider = riders.get(account_id)
            if rider is not None:  # else erased meanwhile
                made += settle_rider(riders, rider, log, keys[account_id], log.recorded_at)
        log.save()
        riders.save()
    riders.remember()
    ledger.accepted.set()
    return made


def _mark(ledger: Ledger) -> date:
    """Note the newest service day that is closed, and return it."""
    now = ledger.clock()
    with reading(ledger.engine) as session:
        zone = ledger.fares.book(session).zone
        today = service_day(now, zone)
        first = session.execute(select(func.min(col(FareStateRow.closes_at)))).scalar()
        # Today's journeys are decided tomorrow at the earliest: sooner, it is an older one.
        late = first is not None and first < day_starts(today + 1, zone)
        day = date.fromordinal(today - (2 if late else 1))
        noted = session.get(DayCloseRow, day.isoformat()) is not None
    if not noted:
        with writing(ledger.engine) as session:
            session.merge(DayCloseRow(day=day.isoformat(), closed_at=now))
    return day


class Timer:
    """The thread that does what is due.

    Days are closed, holds given back, top-ups asked for, and erased riders forgotten here too.
    """

    def __init__(self, ledger: Ledger, interval_s: float = INTERVAL_S) -> None:
        self._ledger, self._interval_s = ledger, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)
        self._complaints: dict[str, str] = {}

    def start(self) -> None:
        """Go on alone until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after what it is doing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            for work in (close_days, expire_holds, ask_for_top_ups, forget_erased):
                self._do(work)

    def _do(self, work: Callable[[Ledger], object]) -> None:
        """A trouble is logged once, and the work tried again the next time."""
        name = work.__name__
        try:
            work(self._ledger)
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            if sentence(error) != self._complaints.get(name):
                self._complaints[name] = sentence(error)
                _log.error("%s could not be done: %s", name, self._complaints[name])
        else:
            self._complaints.pop(name, None)
