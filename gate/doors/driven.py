"""A door moved by a driver in a thread of its own, so that no door ever holds up the frames.

    loop --open()--> queue of at most 8 --> thread --> driver --> lock
    loop <--events()-- opened, held, forced, released, failed <-- sensor, button, failures

A command that could not be carried out within two seconds is dropped: a door that opens
when its rider has given up opens for somebody else. A driver that fails is closed, started
again with growing pauses, and its fault stands in words until it works.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gate.doors.events import DoorEvent, DoorWatch, Unopened
from gate.errors import DoorError

COMMANDS_MAX = 8
COMMAND_AGE_S_MAX = 2.0
TICK_S = 0.1
CHECK_S = 10.0
RETRY_S_MIN = 0.5
RETRY_S_MAX = 15.0
EVENTS_KEPT = 200

log = logging.getLogger(__name__)

Told = Callable[[DoorEvent, str], None]
Moved = Callable[[bool, bool], None]
"""``moved(is_open, as_found)``: the sensor's word; ``as_found`` when nothing moved just now."""


class Driver(Protocol):
    """One kind of door. Called from one thread; each call ends within a few seconds.

    Every method raises ``DoorError`` with what is wrong and what to do.
    """

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        """Take hold of the door, locked. ``moved`` and ``pressed`` may be called from any
        thread, where the door has a sensor or a release button."""
        ...

    def unlock(self, seconds: float) -> None:
        """Let one person through; ``lock`` follows after ``seconds``."""
        ...

    def lock(self) -> None:
        """The pulse is over. Nothing to do where the controller times it by itself."""
        ...

    def check(self) -> None:
        """Raise ``DoorError`` where the door would not take a command now."""
        ...

    def close(self) -> None:
        """Let go of the door and leave it as ``fail_open`` says; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Open:
    at_s: float
    by: str = ""  # the member of staff, or "button"; empty for a passage
    account: str = ""  # of a passage


@dataclass(frozen=True, slots=True)
class _Moved:
    is_open: bool
    as_found: bool


class DrivenDoor:
    """The door as the gate's loop knows it. ``told`` hears every event, in the door's thread."""

    def __init__(
        self,
        driver: Driver,
        pulse_s: float,
        held_after_s: float,
        told: Told = lambda event, detail: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._pulse_s = pulse_s
        self._told = told
        self._clock = clock
        self._watch = DoorWatch(held_after_s)
        self._inbox: queue.Queue[_Open | _Moved] = queue.Queue(COMMANDS_MAX)
        self._events: deque[DoorEvent | Unopened] = deque(maxlen=EVENTS_KEPT)
        self._stop = threading.Event()
        self._lock_at_s: float | None = None
        self._check_at_s = 0.0
        self.fault = "the door has not answered yet"
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)

    def start(self) -> None:
        """Take hold of the door."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of the door; it stays as its ``fail_open`` says."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def open(self, account: str) -> None:
        """Have the door open, at once in return; raise ``DoorError`` where it is out of order."""
        if self.fault:
            raise DoorError(self.fault)
        self._put(_Open(self._clock(), account=account))

    def release(self, by: str) -> None:
        """A member of staff opens by hand: recorded like a passage, but nobody is charged."""
        if self.fault:
            raise DoorError(self.fault)
        self._put(_Open(self._clock(), by))

    def events(self) -> list[DoorEvent | Unopened]:
        """What happened since this was last asked, oldest first."""
        told = []
        while self._events:
            told.append(self._events.popleft())
        return told

    def _put(self, message: _Open | _Moved) -> None:
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            raise DoorError(
                f"{COMMANDS_MAX} commands wait for the door; it does not keep up: see whether "
                "it moves freely and its controller answers"
            ) from None

    def _moved(self, is_open: bool, as_found: bool) -> None:
        self._hear(_Moved(is_open, as_found))

    def _pressed(self) -> None:
        self._hear(_Open(self._clock(), "button"))

    def _hear(self, message: _Open | _Moved) -> None:
        try:
            self._put(message)
        except DoorError as error:
            log.error("%s", error)

    def _run(self) -> None:
        pause_s = RETRY_S_MIN
        while not self._stop.is_set():
            try:
                self._driver.start(self._moved, self._pressed)
                self._well()
                pause_s = RETRY_S_MIN
                self._work()
            except DoorError as error:
                self._fail(str(error))
            except Exception:
                # A thread that ends would be a door that silently stays shut.
                log.exception("the door's driver failed unexpectedly; it is started again")
                self._fail("the door's driver failed unexpectedly; see the log")
            finally:
                self._let_go()
            self._stop.wait(pause_s)
            pause_s = min(RETRY_S_MAX, pause_s * 2)

    def _let_go(self) -> None:
        try:
            self._driver.close()
        except Exception:
            log.exception("the door's driver could not let go")

    def _work(self) -> None:
        while not self._stop.is_set():
            self._watch_the_time()
            try:
                message = self._inbox.get(timeout=TICK_S)
            except queue.Empty:
                continue
            match message:
                case _Moved(is_open=is_open, as_found=True):
                    self._tell(self._watch.found(self._clock(), is_open))
                case _Moved(is_open=is_open):
                    self._tell(self._watch.moved(self._clock(), is_open))
                case _Open():
                    self._carry_out(message)

    def _watch_the_time(self) -> None:
        now_s = self._clock()
        if self._lock_at_s is not None and now_s >= self._lock_at_s:
            self._lock_at_s = None
            self._driver.lock()
        self._tell(self._watch.tick(now_s))
        if now_s >= self._check_at_s:
            self._check_at_s = now_s + CHECK_S
            self._driver.check()

    def _carry_out(self, command: _Open) -> None:
        now_s = self._clock()
        if now_s - command.at_s > COMMAND_AGE_S_MAX:
            self._failed(command, "a command waited too long and was dropped")
            return
        try:
            self._driver.unlock(self._pulse_s)
        except Exception as error:
            self._failed(command, str(error))
            raise
        self._lock_at_s = self._clock() + self._pulse_s
        self._watch.unlocked(self._clock(), self._pulse_s)
        if command.by:
            self._tell(DoorEvent.RELEASED, command.by)

    def _failed(self, command: _Open, detail: str) -> None:
        self._tell(DoorEvent.FAILED, detail)
        if command.account:
            self._events.append(Unopened(command.account))

    def _well(self) -> None:
        if self.fault:
            log.info("the door answers")
        self.fault = ""
        self._check_at_s = self._clock() + CHECK_S

    def _fail(self, problem: str) -> None:
        if problem != self.fault:
            log.error("door: %s", problem)
        self.fault = problem
        self._lock_at_s = None

    def _tell(self, event: DoorEvent | None, detail: str = "") -> None:
        if event is not None:
            self._events.append(event)
            self._told(event, detail)
