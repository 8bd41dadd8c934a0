"""Standard output that holds nobody up: a terminal that stands still, a pipe that nobody reads or
a full disk loses lines, and says later how many."""

import os
import sys
import threading
from collections import deque
from contextlib import suppress

_LINES = 10_000  # that wait to be shown
_CLOSE_SECONDS = 1.0


class Terminal:
    """Lines are shown by a thread, in their order."""

    def __init__(self, descriptor: int | None = None, limit: int = _LINES) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._broken = False  # the last line could not be shown, so nor could a notice
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Returns at once."""
        with self._changed:
            if len(self._waiting) < self._limit:
                self._waiting.append(self._notice() + text)
                self._broken = False
            else:
                self._lost += 1
            self._changed.notify()

    def close(self) -> None:
        """Shows what waits, where that takes no longer than a second."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)

    def _show(self) -> None:
        while text := self._next():
            data = text.encode(errors="replace")
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                with self._changed:
                    self._lost += 1
                    self._broken = True

    def _next(self) -> str:
        """What is to be shown next; nothing at the end."""
        with self._changed:
            while not self._waiting and not self._closing and (self._broken or not self._lost):
                self._changed.wait()
            if self._waiting:
                return self._waiting.popleft()
            return "" if self._broken else self._notice()

    def _notice(self) -> str:
        lost, self._lost = self._lost, 0
        return f"({lost} lines were not shown)\n" if lost else ""


def standard() -> Terminal:
    """This process's own standard output."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    return Terminal()
