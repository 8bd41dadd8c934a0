"""Holds on work that any process may take over: whoever has it renews the hold for as long as the
work goes on, so that others leave it alone; a process that dies renews nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from shared import threads

logger = structlog.get_logger(__name__)

Renew = Callable[[], None]


class Holds:
    """All holds of a process, renewed every `interval` seconds by one thread, which runs only while
    there are some. Safe under threads."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._held: dict[object, Renew] = {}
        self._lock = threading.Lock()
        self._renewing = False

    @contextmanager
    def held(self, renew: Renew) -> Iterator[None]:
        """Inside, `renew` is called again and again, in another thread; what it raises is
        logged."""
        hold = object()
        with self._lock:
            self._held[hold] = renew
            if not self._renewing:
                self._renewing = True
                threads.start("holds", self._run)
        try:
            yield
        finally:
            with self._lock:
                del self._held[hold]

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._interval)
            with self._lock:
                if not self._held:
                    self._renewing = False
                    return
                renewals = list(self._held.values())
            for renew in renewals:
                try:
                    renew()
                except Exception:  # the last resort: others may take the work over
                    logger.exception("hold_not_renewed")
