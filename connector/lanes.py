"""Lanes: order, batches and fairness on the way to a function.

A lane leads to one function and has a few batches under way; what arrives meanwhile becomes the
next batch. So an idle lane adds no delay, and a busy one makes its batches grow by itself.

Each person has a queue in the lane, and a batch takes of each in turn. While calls of a person are
under way the next ones wait, so they stay in order, and whoever asks for much waits behind
themselves. A batch that takes longer than a lane's `patience` holds up nobody else: another one is
sent for those who are not in it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from connector import metrics
from connector.answers import Answer, refused
from connector.routes import Route
from connector.session import Session
from shared.errors import CallError, Reason
from shared.ids import request_id
from shared.subjects import about

logger = structlog.get_logger(__name__)

_SHARES = 8  # of what may wait, one person has one
_BROKEN = refused(CallError(Reason.INTERNAL))


@dataclass(slots=True, eq=False)
class Pending:
    """A call on its way. `answer` is called once with what became of it."""

    method: str
    params: dict[str, Any]
    size: int  # bytes, of the frame it came in
    session: Session
    answer: Callable[[Answer], None]
    caller: bytes | None = None  # who called, where the session may be somebody else's by then
    request_id: str = field(default_factory=request_id)


Forward = Callable[[str, Sequence[Pending]], Awaitable[list[Answer]]]


class Bounds(NamedTuple):
    """Of one lane. `batches` may be under way while none of them is late, `late_batches` in all;
    `share` is how many calls of a batch may be one person's. What waits is bounded in calls and
    bytes, an eighth of it for each person."""

    batches: int
    late_batches: int
    patience: float  # seconds until a batch is late
    batch: int  # calls
    batch_bytes: int
    share: int
    waiting: int  # calls
    waiting_bytes: int


class _Queue:
    """One person's calls. `busy`: some are under way."""

    __slots__ = ("busy", "bytes", "calls", "person")

    def __init__(self, person: object) -> None:
        self.person = person
        self.calls: list[Pending] = []
        self.bytes = 0
        self.busy = False

    def add(self, call: Pending) -> None:
        self.calls.append(call)
        self.bytes += call.size

    def next(self) -> Pending | None:
        """The first call whose client reads its answers. It stays here."""
        for call in self.calls:
            if not call.session.clogged:
                return call
        return None

    def move(self, call: Pending, batch: "_Batch") -> None:
        self.calls.remove(call)
        self.bytes -= call.size
        batch.calls.append(call)
        batch.size += call.size


class _Batch:
    __slots__ = ("calls", "late", "queues", "size")

    def __init__(self) -> None:
        self.calls: list[Pending] = []
        self.queues: list[_Queue] = []
        self.size = 0  # bytes
        self.late = False


class Lane:
    """The way to one function."""

    def __init__(self, function: str, forward: Forward, bounds: Bounds) -> None:
        self.bounds = bounds  # may change, as the function's annotations do
        self._function = function
        self._forward = forward
        self._hops = metrics.HOP.labels(function)
        self._sizes = metrics.BATCH.labels(function)
        self._queues: dict[object, _Queue] = {}
        self._ready: OrderedDict[object, _Queue] = OrderedDict()
        self._waiting = 0
        self._waiting_bytes = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._late = 0  # of those that are under way

    def put(self, call: Pending) -> bool:
        """Takes the call, or returns False where too much waits: in all, or of this person."""
        bounds, person, size = self.bounds, call.session.person, call.size
        if self._waiting >= bounds.waiting or self._waiting_bytes + size > bounds.waiting_bytes:
            return False
        queue = self._queues.get(person)
        if queue is None:
            queue = self._queues[person] = _Queue(person)
        elif (
            len(queue.calls) >= bounds.waiting // _SHARES
            or queue.bytes + size > bounds.waiting_bytes // _SHARES
        ):
            return False
        queue.add(call)
        self._waiting += 1
        self._waiting_bytes += size
        if not queue.busy:
            self._ready[person] = queue
            self._start()
        return True

    def resume(self, person: object) -> None:
        """A client of this person reads again, or is gone."""
        queue = self._queues.get(person)
        if queue is not None and not queue.busy:
            self._ready[person] = queue
            self._start()

    @property
    def idle(self) -> bool:
        return not self._under_way

    def _start(self) -> None:
        while self._ready and self._may_start():
            batch = self._next_batch()
            if batch.calls:
                task = asyncio.get_running_loop().create_task(self._run(batch))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    def _may_start(self) -> bool:
        bounds, count = self.bounds, len(self._under_way)
        return count - self._late < bounds.batches and count < bounds.late_batches

    def _next_batch(self) -> _Batch:
        """A call of each person in turn, and again, as far as there is room."""
        batch, bounds, ready = _Batch(), self.bounds, self._ready
        calls = batch.calls
        while ready and len(calls) < bounds.batch:
            person, queue = ready.popitem(last=False)
            call = queue.next()
            if call is None:
                continue
            if calls and batch.size + call.size > bounds.batch_bytes:
                ready[person] = queue
                ready.move_to_end(person, last=False)
                break
            queue.move(call, batch)
            queue.busy = True
            batch.queues.append(queue)
        more = [queue for queue in batch.queues if queue.calls]
        for _ in range(bounds.share - 1):
            more = [queue for queue in more if self._move_next(queue, batch)]
            if not more:
                break
        self._waiting -= len(calls)
        self._waiting_bytes -= batch.size
        return batch

    def _move_next(self, queue: _Queue, batch: _Batch) -> bool:
        call, bounds = queue.next(), self.bounds
        if (
            call is None
            or len(batch.calls) >= bounds.batch
            or batch.size + call.size > bounds.batch_bytes
        ):
            return False
        queue.move(call, batch)
        return True

    async def _run(self, batch: _Batch) -> None:
        self._sizes.observe(len(batch.calls))
        timer = asyncio.get_running_loop().call_later(self.bounds.patience, self._is_late, batch)
        try:
            with self._hops.time(), about(batch.calls):
                found = await self._forward(self._function, batch.calls)
            if len(found) != len(batch.calls):
                raise AssertionError(f"{len(found)} answers to {len(batch.calls)} calls")
        except Exception:  # the last resort: whoever asked is answered
            with about(batch.calls):
                logger.exception("lane_broke", function=self._function)
            found = [_BROKEN] * len(batch.calls)
        timer.cancel()
        for call, answer in zip(batch.calls, found, strict=True):
            try:
                call.answer(answer)
            except Exception:  # one client's trouble must not cost the others' answers
                logger.exception("answer_broke", function=self._function, request=call.request_id)
        self._end(batch)

    def _is_late(self, batch: _Batch) -> None:
        batch.late = True
        self._late += 1
        self._start()

    def _end(self, batch: _Batch) -> None:
        self._late -= batch.late
        task = asyncio.current_task()
        if task is not None:
            self._under_way.discard(task)
        for queue in batch.queues:
            queue.busy = False
            if queue.calls:
                self._ready[queue.person] = queue
            else:
                del self._queues[queue.person]
        self._start()


class Lanes:
    """All lanes of this connector, made when first used."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._lanes: dict[str, Lane] = {}
        self._routes: dict[str, Route] = {}  # that lanes were last used by

    def of(self, route: Route, bounds: Callable[[Route], Bounds]) -> Lane:
        """The lane of a route's function. `bounds` says what they are for a route that is new."""
        lane = self._lanes.get(route.function)
        if lane is None:
            lane = self._lanes[route.function] = Lane(route.function, self._forward, bounds(route))
            self._routes[route.function] = route
        elif self._routes[route.function] is not route:
            lane.bounds = bounds(route)
            self._routes[route.function] = route
        return lane

    def resume(self, person: object) -> None:
        """A client of this person reads again, or is gone."""
        for lane in self._lanes.values():
            lane.resume(person)

    @property
    def idle(self) -> bool:
        return all(lane.idle for lane in self._lanes.values())
