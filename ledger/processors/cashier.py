"""Whoever speaks to the processor while the server runs, and where its keys are kept.

DATA/keys/stripe.toml, readable by its owner only; without this file no cards are taken:

    secret_key = "sk_live_…"
    webhook_secret = "whsec_…"
"""

from __future__ import annotations

import logging
import threading
import tomllib

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ledger.ledger import Ledger
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.pretend_pages import pretend_pages
from ledger.processors.protocol import Processor, ProcessorUnusable
from ledger.processors.webhooks import webhooks
from models.settings import DataDirectory

STRIPE_KEYS = "stripe.toml"
INTERVAL_S = 2.0
COMPLAINTS_MAX = 1000
"""How many troubles are remembered as said."""

_log = logging.getLogger(__name__)


class StripeKeys(BaseModel):
    """The contents of ``stripe.toml``; ``address`` is for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_key: str = Field(pattern=r"^(sk|rk)_")
    webhook_secret: str = Field(min_length=8)
    address: str | None = Field(default=None, pattern=r"^http://127\.0\.0\.1:[0-9]+$")


def open_processor(data: DataDirectory) -> Processor | None:
    """The processor this operator has, None for none.

    Raises ``ProcessorUnusable`` for bad keys and for a currency it counts in another way.
    """
    path = data.keys / STRIPE_KEYS
    try:
        keys = StripeKeys.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        # Not the values: they are secrets.
        names = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise ProcessorUnusable(f"{path} cannot be used: look at {names}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProcessorUnusable(f"{path} cannot be read as TOML") from error
    from ledger.processors.stripe import StripeProcessor, check_currency

    check_currency(data.settings().currency)
    return StripeProcessor(keys.secret_key, keys.webhook_secret, keys.address)


def processor_blueprints(ledger: Ledger, processor: Processor | None) -> list[Blueprint]:
    """What the composition root registers for the processor; none without one."""
    if processor is None:
        return []
    pages = [pretend_pages(processor)] if isinstance(processor, PretendProcessor) else []
    return [webhooks(ledger, processor), *pages]


class Cashier:
    """A thread that works the outbox. Every worker runs one; a call is made by one of them."""

    def __init__(
        self, ledger: Ledger, processor: Processor | None, interval_s: float = INTERVAL_S
    ) -> None:
        self._ledger, self._processor, self._interval_s = ledger, processor, interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: dict[str, str] = {}

    def start(self) -> None:
        """Go on alone until ``stop``; without a processor there is nothing to do."""
        if self._processor is not None:
            self._thread = threading.Thread(target=self._run, name="cashier", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; calls that wait are made by the next one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._work()

    def _work(self) -> None:
        """One round. A trouble is logged once; what it is about waits, and the rest goes on."""
        assert self._processor is not None  # start has seen to it
        try:
            troubles: dict[str, Exception] = work(self._ledger, self._processor).troubles
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            troubles = {"the round": error}
        for item, trouble in troubles.items():
            if self._said.get(item) != str(trouble):
                self._said[item] = str(trouble)
                _log.error("%s could not be worked at and waits", item, exc_info=trouble)
        if len(self._said) > COMPLAINTS_MAX:
            self._said.clear()
