"""Turns at what takes the processor long: few at once, and nobody has two before all have one.

Sources take turns, and within a source its names; of one source at one name a single piece of work
is done at a time, in order. So thousands of guesses from one place stand before nobody else.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any, NamedTuple

from shared import threads
from shared.errors import CallError, Reason
from shared.settings import settings

Place = tuple[str, str]  # source, name


class _Turn(NamedTuple):
    work: Callable[[], Any]
    done: Future[Any]
    asked: float


class Turns:
    """Work done by a few threads. Safe under threads."""

    def __init__(self, count: int, patience: float) -> None:
        """`count` threads do it. What has not begun after `patience` seconds is refused with
        `overloaded`."""
        self._patience = patience
        self._waiting: OrderedDict[str, OrderedDict[str, deque[_Turn]]] = OrderedDict()
        self._busy: set[Place] = set()
        self._changed = threading.Condition()
        for number in range(count):
            threads.start(f"turn-{number}", self._serve)

    def ask(self, place: Place, work: Callable[[], Any]) -> Future[Any]:
        """What the work returns or raises, when its turn has come."""
        turn = _Turn(threads.carried(work), Future(), time.monotonic())
        source, name = place
        with self._changed:
            names = self._waiting.setdefault(source, OrderedDict())
            names.setdefault(name, deque()).append(turn)
            self._changed.notify()
        return turn.done

    def _serve(self) -> None:
        while True:
            with self._changed:
                found = self._changed.wait_for(self._next)
            if found is None:
                raise AssertionError("wait_for without a time limit returns what it waited for")
            place, turn = found
            self._do(turn)
            with self._changed:
                self._busy.discard(place)
                self._changed.notify()

    def _next(self) -> tuple[Place, _Turn] | None:
        """Takes the next turn, if any place has one; that place goes to the end."""
        for source, names in self._waiting.items():
            for name, turns in names.items():
                if (source, name) in self._busy:
                    continue
                turn = turns.popleft()
                names.move_to_end(name)
                self._waiting.move_to_end(source)
                if not turns:
                    del names[name]
                if not names:
                    del self._waiting[source]
                self._busy.add((source, name))
                return (source, name), turn
        return None

    def _do(self, turn: _Turn) -> None:
        if time.monotonic() - turn.asked > self._patience:
            turn.done.set_exception(CallError(Reason.OVERLOADED, retry_after=1))
            return
        try:
            turn.done.set_result(turn.work())
        except Exception as failure:
            turn.done.set_exception(failure)


@cache
def turns() -> Turns:
    """This process's, for passwords."""
    return Turns(settings().hash_threads, settings().hash_wait)
