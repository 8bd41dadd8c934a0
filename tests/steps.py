"""Work that is taken step by step, so that a test says what happens between any two of them."""

import threading
from collections.abc import Callable
from typing import Any

_SECONDS = 20


class Crash(BaseException):
    """The process that did the work is gone."""


class Stepping:
    """An object whose every call waits for its turn, before and after."""

    def __init__(self, part: Any, turn: Callable[[], None]) -> None:
        self._part = part
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def step(*args: Any, **named: Any) -> Any:
            self._turn()
            found = method(*args, **named)
            self._turn()
            return found

        return step


class Worker:
    """`work(turn)` on a thread of its own: `turn()` waits until a step is to be taken."""

    def __init__(self, work: Callable[[Callable[[], None]], Any]) -> None:
        self.found: Any = None
        self.error: BaseException | None = None
        self.ended = False
        self._crash = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        assert self._stopped.acquire(timeout=_SECONDS)

    def step(self) -> None:
        """Takes one step, or ends."""
        if not self.ended:
            self._go.release()
            assert self._stopped.acquire(timeout=_SECONDS)

    def crash(self) -> None:
        self._crash = True
        self.step()

    def finish(self) -> None:
        while not self.ended:
            self.step()

    def _turn(self) -> None:
        self._stopped.release()
        assert self._go.acquire(timeout=60)
        if self._crash:
            raise Crash

    def _run(self, work: Callable[[Callable[[], None]], Any]) -> None:
        try:
            self.found = work(self._turn)
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._stopped.release()
