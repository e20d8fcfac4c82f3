"""Keep what the gate knows up to date: the gallery, and the deny list.

Each has a thread of its own that waits at the server for news, so that an erasure, a freeze or
a block is here within seconds and neither waits for the other. Without a server the gate goes
on with what it kept, for as long as that may be used; only the server's own word that this gate
was revoked takes it away. Passes are judged by the newest rules that came, however old: where
faces may not be recognised, passes still open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TextIO

from gate import sync
from gate.client import Client
from gate.clock import GateClock, age_s
from gate.errors import GateRevoked, NotReady, ServerRefused, ServerUnreachable
from gate.faults import Fault, FaultBoard
from gate.identity import GateIdentity
from gate.recognition import Measured, make_matcher
from gate.second_factor import Claims
from gate.sight import Knowledge
from models.errors import FacefareError
from models.wire.gallery import GalleryRefused, GallerySnapshot, PassRules
from models.wire.times import parse_utc

GALLERY_AGE_MAX = timedelta(days=7)
"""A gate that cannot reach its server recognises nobody by an older gallery."""

AWAY = (ServerUnreachable, ServerRefused, GalleryRefused)
"""No answer, or one that may be of something else than the server: a proxy, a captive portal."""


class Refresh:
    """Writes what it fetches into ``knowledge``, and what keeps it from that onto ``faults``."""

    def __init__(
        self,
        identity: GateIdentity,
        client: Client,
        knowledge: Knowledge,
        measured: Measured,
        clock: GateClock,
        faults: FaultBoard,
        out: TextIO,
    ) -> None:
        self._identity = identity
        self._client = client
        self._knowledge = knowledge
        self._measured = measured
        self._clock = clock
        self._faults = faults
        self._out = out
        self._version = -1
        self._heard_at = clock()
        self._problems: dict[tuple[Fault, str], str] = {}
        self._noting = threading.Lock()
        self._gallery = sync.Repeating("gallery", self.gallery, pause_s=sync.REFRESH_S)
        self._deny_list = sync.Repeating("deny list", self.deny_list, pause_s=sync.REFRESH_S)

    def start(self) -> None:
        """Start the threads."""
        self._gallery.start()
        self._deny_list.start()

    def stop(self) -> None:
        """Stop the threads, which only read: neither has to finish waiting for news."""
        self._gallery.stop(0.2)
        self._deny_list.stop(0.2)

    def everything(self) -> None:
        """Fetch both now, the gallery first: an erasure must not wait for the ledger.

        Raises what keeps the gate from using them; what was kept is used then.
        """
        try:
            self.gallery()
        except FacefareError:
            self._use_kept_deny_list()
            raise
        self.deny_list(news=False)

    def gallery(self) -> bool:
        """Fetch a newer gallery, or wait for one."""
        with self._noted("gallery"):
            try:
                self._fetch_gallery()
            except GateRevoked:
                # What this gate knows of riders is not its own to keep.
                self._knowledge.forget()
                sync.forget_gallery(self._identity)
                self._version = -1  # trusted again, it asks for the whole gallery
                raise
            except AWAY:
                self._use_kept_gallery()
                raise
        return False

    def deny_list(self, news: bool = True) -> bool:
        """Fetch the deny list; with ``news``, once it is another than the last time."""
        with self._noted("deny list"):
            try:
                self._fetch_deny_list(news)
            except AWAY:
                self._use_kept_deny_list()
                raise
        return False

    @contextmanager
    def _noted(self, part: str) -> Iterator[None]:
        """Put what goes wrong on the board until it is over."""
        offline = refused = ""
        try:
            yield
        except ServerUnreachable as error:
            offline = str(error)
            raise
        except FacefareError as error:
            refused = str(error)
            raise
        finally:
            self._faults.set(Fault.CLOCK, self._clock.problem)
            self._note(Fault.OFFLINE, part, offline)
            self._note(Fault.GALLERY, part, refused)

    def _note(self, fault: Fault, part: str, problem: str) -> None:
        with self._noting:
            self._problems[fault, part] = problem
            standing = [text for (kind, _), text in self._problems.items() if kind is fault]
            self._faults.set(fault, next(filter(None, standing), ""))

    def _fetch_deny_list(self, news: bool) -> None:
        if news:
            self._knowledge.blocked = sync.fetch_news_of_blocked(self._identity, self._client)
        else:
            self._knowledge.blocked = sync.fetch_blocked(self._identity, self._client)
        self._knowledge.blocked_at = self._clock()

    def _fetch_gallery(self) -> None:
        kept = sync.kept_gallery(self._identity) if self._version < 0 else None
        have = kept.version if kept else self._version
        fresh = sync.fetch_gallery(self._identity, self._client, have)
        newest = fresh or kept
        self._heard_at = self._clock()
        if newest is not None:
            self._use(newest)
        elif self._version < 0:
            raise NotReady("the server sent no gallery and none is kept here; it is asked again")

    def _use(self, snapshot: GallerySnapshot) -> None:
        try:
            matcher = make_matcher(snapshot, self._measured)
            claims = Claims.of(snapshot, matcher.gallery, self._measured)
        except Exception:
            # Fail closed: the old gallery may hold riders who have left since, and must not be
            # searched either.
            self._take_passes_only(snapshot.passes, snapshot.version)
            raise
        self._knowledge.claims = claims
        self._knowledge.look_alikes = frozenset(r.account for r in snapshot.riders if r.ask)
        self._knowledge.matcher = matcher
        self._version = snapshot.version
        point = matcher.point
        print(
            f"gate: {self._identity.file.gate} at {self._identity.file.station}, "
            f"{len(snapshot.riders)} riders, operating point {point.threshold:.3f} "
            f"(margin {point.margin:.3f}) for {point.target_fpir:.1%} of strangers",
            file=self._out,
            flush=True,
        )

    def _take_passes_only(self, rules: PassRules | None, version: int) -> None:
        self._knowledge.matcher = None
        self._knowledge.claims = Claims.passes_only(rules, version, self._measured)

    def _too_old(self, at: datetime) -> bool:
        return age_s(at, self._clock()) > GALLERY_AGE_MAX.total_seconds()

    def _use_kept_gallery(self) -> None:
        """Without a server: the gallery of an earlier time, if young enough."""
        claims = self._knowledge.claims
        if self._version >= 0 and self._too_old(self._heard_at):
            self._take_passes_only(claims.rules if claims else None, self._version)
            self._version = -1
        kept = sync.kept_gallery(self._identity) if self._version < 0 else None
        if kept is None:
            return
        if self._too_old(parse_utc(kept.issued_at)):
            self._take_passes_only(kept.passes, kept.version)
            raise NotReady(
                f"the kept gallery is of {kept.issued_at}, more than {GALLERY_AGE_MAX.days} days "
                "ago or ahead of this gate's clock; riders may have left since: connect this gate "
                "to its server"
            )
        self._use(kept)
        self._heard_at = parse_utc(kept.issued_at)

    def _use_kept_deny_list(self) -> None:
        if self._knowledge.blocked is None:
            self._knowledge.blocked = sync.kept_blocked(self._identity)
            self._knowledge.blocked_at = sync.kept_blocked_at(self._identity)
