"""Figures for Prometheus, and the same events in the log. None says who rode.

facefare_gate_frames_total                     frames the loop looked at
facefare_gate_frame_age_seconds                since the last of them
facefare_gate_passages_total{phase,reason}     opens, refusals, asks, by the reason's code
facefare_gate_settled_total{status}            the ledger's answers
facefare_gate_door_events_total{event}         opened, closed, held, forced, released, failed
facefare_gate_fault{fault}                     1 while it stands
facefare_gate_outbox_taps{state}               pending, accepted, refused, quarantined
facefare_gate_outbox_oldest_seconds            how long the oldest tap waits
facefare_gate_server_contact_seconds           since the server's last answer
facefare_gate_disk_free_bytes
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gate.display import FaceBox
from gate.doors.events import DoorEvent
from gate.errors import GateError
from gate.faults import Fault
from gate.health import Facts
from gate.passage import ENDED, Phase
from gate.settings import LOOPBACK
from gate.words import both

log = logging.getLogger(__name__)

REPORTED = ENDED | {Phase.OUT_OF_SERVICE}
STATUSES = frozenset({"accepted", "replayed", "refused", "quarantined"})


class Metrics(Collector):
    """Counts what happens; a ``Display`` as well, since that is where passages are told.

    ``facts()`` is asked at each scrape. Labels come from fixed lists, so that no text from
    outside ever makes a new time series.
    """

    def __init__(
        self, facts: Callable[[], Facts], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._facts = facts
        self._clock = clock
        self._last_frame_s: float | None = None
        self.registry = CollectorRegistry()
        self._frames = self._counter("frames", "Frames the loop looked at")
        self._passages = self._counter("passages", "Passages by outcome", "phase", "reason")
        self._settled = self._counter("settled", "Answers of the ledger to taps", "status")
        self._door = self._counter("door_events", "What the door told", "event")
        self.registry.register(self)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"facefare_gate_{name}", what, labels, registry=self.registry)

    def frame(self) -> None:
        """The loop looked at a frame."""
        self._last_frame_s = self._clock()
        self._frames.inc()

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        """Count a passage that came to an end, by the code of its reason."""
        if phase in REPORTED:
            reason = both(text).code
            self._passages.labels(phase, reason).inc()
            log.info("passage", extra={"phase": phase, "reason": reason})

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        """Count the ledger's answer."""
        status = str(answer.get("status"))
        self._settled.labels(status if status in STATUSES else "other").inc()

    def face(self, box: FaceBox | None) -> None:
        """Where somebody stands is nobody's figure."""

    def door(self, event: DoorEvent, detail: str) -> None:
        """Count and log what the door told; a release names the member of staff."""
        self._door.labels(event).inc()
        expected = event in (DoorEvent.OPENED, DoorEvent.CLOSED)
        log.log(
            logging.INFO if expected else logging.WARNING,
            "door",
            extra={"event": event, "detail": detail},
        )

    def collect(self) -> Iterable[Metric]:
        """What is measured at the moment of asking."""
        if self._last_frame_s is not None:
            age_s = self._clock() - self._last_frame_s
            yield _gauge("frame_age_seconds", "Since the last frame", age_s)
        try:
            facts = self._facts()
        except (GateError, OSError) as error:
            log.error("the figures of this gate cannot be read: %s", error)
            return
        faults = GaugeMetricFamily("facefare_gate_fault", "1 while it stands", labels=["fault"])
        for fault in Fault:
            faults.add_metric([fault], float(fault in facts.faults))
        yield faults
        taps = GaugeMetricFamily("facefare_gate_outbox_taps", "Taps by state", labels=["state"])
        for state, count in asdict(facts.taps).items():
            taps.add_metric([state], count)
        yield taps
        yield _gauge("outbox_oldest_seconds", "Wait of the oldest tap", facts.oldest_age_s)
        if facts.contact_age_s is not None:
            yield _gauge("server_contact_seconds", "Since the server's answer", facts.contact_age_s)
        yield _gauge("disk_free_bytes", "Free space", facts.disk_free_mb * 2**20)

    def app(self) -> Any:
        """The WSGI application of /metrics, for this machine by its own names alone."""
        serve = make_wsgi_app(self.registry)

        def guarded(environ: dict[str, Any], start: Any) -> Any:
            if (urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or "") not in LOOPBACK:
                start("403 Forbidden", [("Content-Type", "text/plain")])
                return [b"this machine only\n"]
            return serve(environ, start)

        return guarded


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"facefare_gate_{name}", what, value)
