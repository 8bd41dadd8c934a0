"""A part that dies is started again: after a pause that grows, and not for ever."""

import asyncio
from collections import deque
from collections.abc import Callable

from connector.backoff import Backoff
from local.part import Part, PartFailedError

DEATHS = 6  # so many of one part in so many seconds, and it is given up
SECONDS = 300.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


class Keeper:
    """Keeps one part running."""

    def __init__(
        self,
        part: Part,
        tell: Callable[[str], None],
        excused: Callable[[], bool] = lambda: False,
        *,
        deaths: int = DEATHS,
        seconds: float = SECONDS,
        pause: float = _FIRST_PAUSE,
    ) -> None:
        """`excused`: a death at this moment is not the part's own fault and is not counted."""
        self._part = part
        self._tell = tell
        self._excused = excused
        self._deaths: deque[float] = deque(maxlen=deaths)
        self._seconds = seconds
        self._backoff = Backoff(pause, _LONGEST_PAUSE)

    async def run(self) -> None:
        """Returns when the part was stopped. Raises `PartFailedError` when it is given up."""
        while True:
            try:
                await self._part.wait()
                return
            except PartFailedError as death:
                await self._again(str(death))

    async def _again(self, why: str) -> None:
        """Returns when it runs again, or was stopped."""
        loop, excused = asyncio.get_running_loop(), False
        while True:
            if self._excused():
                if not excused:
                    self._tell(f"{why}; it is tried again until there is room")
                excused = True
                await asyncio.sleep(self._backoff.next())
            else:
                self._count(why)
                pause = self._backoff.next()
                self._tell(f"{why}; it starts again in {pause:.1f} s")
                await asyncio.sleep(pause)
            began = loop.time()
            try:
                await self._part.revive()
            except PartFailedError as failure:
                why = str(failure)
                continue
            if self._part.running:
                self._tell(f"{self._part.name} is back after {loop.time() - began:.1f} s")
            return

    def _count(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._deaths and now - self._deaths[-1] > self._seconds:
            self._backoff.reset()
        self._deaths.append(now)
        often = len(self._deaths) == self._deaths.maxlen
        if often and now - self._deaths[0] < self._seconds:
            raise PartFailedError(
                f"{why}; given up after {len(self._deaths)} times in {self._seconds:.0f} s"
            )
