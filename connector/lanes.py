"""Lanes: order and batches on the way to a function.

A lane has one batch under way; what arrives meanwhile becomes the next batch. So an idle lane adds
no delay, a busy one makes its batches grow by itself, and as a session always takes the same lane
of a function, its calls stay in order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from connector import metrics
from connector.answers import Answer
from connector.session import Session

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pending:
    """A call on its way. `answer` is called once with what became of it."""

    method: str
    params: dict[str, Any]
    size: int  # bytes, of the frame it came in
    session: Session
    answer: Callable[[Answer], None]


Forward = Callable[[str, Sequence[Pending]], Awaitable[list[Answer]]]


class Lane:
    """A bounded queue to one function, with one batch under way."""

    __slots__ = (
        "_batch_bytes",
        "_batch_calls",
        "_batches",
        "_calls",
        "_forward",
        "_function",
        "_hops",
        "_limit",
        "_task",
    )

    def __init__(
        self, function: str, forward: Forward, limit: int, batch_calls: int, batch_bytes: int
    ) -> None:
        self._function = function
        self._forward = forward
        self._limit = limit
        self._batch_calls = batch_calls
        self._batch_bytes = batch_bytes
        self._hops = metrics.HOP.labels(function)
        self._batches = metrics.BATCH.labels(function)
        self._calls: deque[Pending] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, call: Pending) -> bool:
        """Takes the call, or returns False where the lane is full."""
        if len(self._calls) >= self._limit:
            return False
        self._calls.append(call)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return True

    @property
    def idle(self) -> bool:
        return self._task is None

    async def _run(self) -> None:
        try:
            while self._calls:
                batch = self._next_batch()
                self._batches.observe(len(batch))
                with self._hops.time():
                    answers = await self._forward(self._function, batch)
                for call, answer in zip(batch, answers, strict=True):
                    try:
                        call.answer(answer)
                    except Exception:  # one client's trouble must not cost the others' answers
                        logger.exception("answer_broke", function=self._function)
        finally:
            self._task = None

    def _next_batch(self) -> list[Pending]:
        batch = [self._calls.popleft()]
        size = batch[0].size
        while self._calls and len(batch) < self._batch_calls:
            size += self._calls[0].size
            if size > self._batch_bytes:
                break
            batch.append(self._calls.popleft())
        return batch


class Lanes:
    """All lanes of this connector, made when first used."""

    def __init__(self, make: Callable[[str], Lane]) -> None:
        self._make = make
        self._lanes: dict[tuple[str, int], Lane] = {}

    def of(self, function: str, session: Session, count: int) -> Lane:
        """The lane of this session for the function, which has `count` of them."""
        key = (function, session.number % count)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._make(function)
        return lane

    @property
    def idle(self) -> bool:
        return all(lane.idle for lane in self._lanes.values())
