"""Load on lines: a closed loop, where each line sends when its last message has arrived, and an
open loop, where messages are due at fixed times whatever became of the others.

In the open loop a latency counts from when the message was due, not from when it was sent, so that
a server that holds the generator up cannot hide it (coordinated omission).
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from benchmarks.peers import Line, nothing

T = TypeVar("T")

_clock = time.perf_counter


class Pairs:
    """Lines in pairs: the first writes to the second and the second to the first."""

    def __init__(self, lines: Sequence[Line], people: Sequence[str], *, confirms: bool) -> None:
        """`confirms`: the server acknowledges what a line sends."""
        self._lines = lines
        self._confirms = confirms
        self._partner = [people[number ^ 1] for number in range(len(lines))]
        self._due: list[deque[float]] = [deque() for _ in lines]  # by sender: what is on its way
        self._unconfirmed: list[deque[float]] = [deque() for _ in lines]
        self.latencies: list[float] = []
        self.confirmations: list[float] = []

    @property
    def on_their_way(self) -> int:
        return sum(map(len, self._due)) + sum(map(len, self._unconfirmed))

    async def closed(self, seconds: float) -> float:
        """Each line has one message on its way all the time. Returns how long it took."""
        stop = _clock() + seconds
        self._listen(again_until=stop)
        began = _clock()
        for number in range(len(self._lines)):
            self._send(number, _clock())
        await asyncio.sleep(seconds)
        elapsed = _clock() - began
        found = len(self.latencies)
        await self._settle()
        del self.latencies[found:]  # what came after the time
        return elapsed

    async def open(self, rate: float, seconds: float) -> float:
        """So many messages a second, evenly, by the lines in turn."""
        self._listen(again_until=0.0)
        began, count = _clock(), int(rate * seconds)
        turns = itertools.cycle(range(len(self._lines)))
        sent = 0
        while sent < count:
            due = began + sent / rate
            if (early := due - _clock()) > 0:
                await asyncio.sleep(early)
            # What has come due meanwhile goes now, and counts from when it was due.
            while sent < count and (due := began + sent / rate) <= _clock():
                self._send(next(turns), due)
                sent += 1
        elapsed = _clock() - began
        await self._settle()
        return elapsed

    def _listen(self, again_until: float) -> None:
        self.latencies, self.confirmations = [], []
        for number, line in enumerate(self._lines):
            line.heard = self._heard(number ^ 1, again_until)
            line.acknowledged = self._confirmed(number)

    def _heard(self, sender: int, again_until: float) -> Callable[[], None]:
        due, latencies, send = self._due[sender], self.latencies, self._send

        def heard() -> None:
            now = _clock()
            latencies.append(now - due.popleft())
            if now < again_until:
                send(sender, now)

        return heard

    def _confirmed(self, sender: int) -> Callable[[], None]:
        unconfirmed, confirmations = self._unconfirmed[sender], self.confirmations

        def confirmed() -> None:
            confirmations.append(_clock() - unconfirmed.popleft())

        return confirmed

    def _send(self, sender: int, due: float) -> None:
        self._due[sender].append(due)
        if self._confirms:
            self._unconfirmed[sender].append(due)
        self._lines[sender].send(self._partner[sender])

    async def _settle(self) -> None:
        """Returns when nothing is on its way. Raises `TimeoutError`."""
        async with asyncio.timeout(60):
            while self.on_their_way:  # noqa: ASYNC110 (a signal would cost every message)
                await asyncio.sleep(0.01)
        for line in self._lines:
            line.heard = line.acknowledged = nothing


async def gathered(works: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """Runs these, so many at a time, and returns their results in order."""
    found: list[Any] = [None] * len(works)
    left = iter(enumerate(works))

    async def worker() -> None:
        for number, work in left:
            found[number] = await work()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return found
