"""One function that wants events, at its own pace: one batch under way, results judged, what is
settled acknowledged in Redis."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connector import answers, metrics
from connector.answers import Answer
from connector.backlog import Backlog, Waiting
from connector.backoff import Backoff
from connector.forwarder import Forwarder, TryAgainError, encoded
from connector.streams import Entry
from shared import events, keys
from shared.errors import Code
from shared.events import Happened
from shared.settings import Settings
from shared.subjects import about
from shared.tracebacks import told

logger = structlog.get_logger(__name__)

_AWAY = frozenset({429, 503})  # what a gateway answers for a function that is not there just now
_LONGEST_WAIT = 3600.0  # seconds for which a function may ask to be left alone with an event


class Subscriber:
    """`add` takes entries of the stream while there is `room`; `run` hands their events over."""

    def __init__(
        self,
        stream: str,
        function: str,
        types: frozenset[str],
        client: Redis,
        forwarder: Forwarder,
        config: Settings,
    ) -> None:
        self.function = function
        self._stream = stream
        self.types = types
        self.backlog = Backlog(config.events_attempts)
        self._redis = client
        self._forwarder = forwarder
        self._batch = config.lane_batch
        self._held = config.events_held
        self._dead_length = config.events_dead_length
        self._dead: list[tuple[Happened, str]] = []
        self._wake = asyncio.Event()
        self._stopped = False
        self._backoff = Backoff(0.1, 5.0)

    @property
    def room(self) -> bool:
        return len(self.backlog) < self._held

    def add(self, entries: Sequence[Entry]) -> None:
        now = _clock()
        for entry, fields in entries:
            try:
                found = [each for each in events.parse(fields) if self._wants(each, fields)]
            except ValueError as error:
                logger.error("events_unreadable", entry=entry.decode(), error=error)
                found = []
            self.backlog.add(entry, found, now)
        self._wake.set()

    def _wants(self, event: Happened, entry: Mapping[bytes, bytes]) -> bool:
        return event.type in self.types and events.concerns(entry, self.function)

    def stop(self) -> None:
        """Ends `run`. What is not settled stays pending in Redis."""
        self._stopped = True
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`. What breaks is this function's trouble: it is counted, and tried again."""
        while not self._stopped:
            try:
                await self._step()
            except Exception:  # the last resort; what was not settled stays pending in Redis
                logger.exception("subscriber_broke", function=self.function)
                await self._backoff.pause()

    async def _step(self) -> None:
        batch = self.backlog.take(_clock(), self._batch)
        if batch:
            await self._deliver(batch)
        await self._acknowledge()
        if not batch:
            await self._until_due()

    async def _until_due(self) -> None:
        due = self.backlog.next_due
        try:
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _deliver(self, batch: list[Waiting]) -> None:
        try:
            found = await self._forwarder.post(
                self.function, encoded(_envelope(waiting.event) for waiting in batch)
            )
        except TryAgainError as failure:
            with about([waiting.event for waiting in batch]):
                logger.warning(
                    "events_failed", function=self.function, events=len(batch), error=failure
                )
            if failure.reached and failure.status not in _AWAY:
                self._failed(batch, str(failure))
            else:
                for waiting in batch:  # no fault of theirs
                    self.backlog.later(waiting, _clock())
            # The function is in trouble: the other events wait too, rather than fail one by one.
            await self._backoff.pause()
        except Exception as failure:
            logger.error("events_broke", function=self.function, exc_info=failure)
            self._failed(batch, told(failure))
        else:
            self._backoff.reset()
            for waiting, answer in zip(batch, found, strict=True):
                try:
                    self._judge(waiting, answer)
                except Exception as failure:  # the last resort: it counts against this event
                    logger.exception("judging_broke", function=self.function)
                    self._failed([waiting], told(failure))

    def _judge(self, waiting: Waiting, answer: Answer) -> None:
        error = answers.error(answer)
        if error is None:
            self.backlog.done(waiting)
            self._count("handled")
        elif error["code"] == Code.TRY_AGAIN and "retry_after" in error["data"]:
            pause = min(error["data"]["retry_after"], _LONGEST_WAIT)
            self.backlog.later(waiting, _clock() + pause)
            self._count("later")
        else:
            self._failed([waiting], str(error["data"]["reason"]), f": {error['message']}")

    def _failed(self, batch: list[Waiting], why: str, more: str = "") -> None:
        """`more` is kept with a dead event, and not logged: it may quote somebody."""
        for waiting in batch:
            if self.backlog.failed(waiting, _clock()):
                self._count("failed")
                continue
            event = waiting.event
            with about((event,)):
                logger.warning(
                    "event_dead", function=self.function, id=event.id, type=event.type, error=why
                )
            self._dead.append((event, why + more))
            self._count("dead")

    async def _acknowledge(self) -> None:
        """Puts dead events aside and acknowledges what is settled, whenever Redis lets it."""
        dead, self._dead = self._dead, []
        settled, backoff = self.backlog.settled(), Backoff(0.05, 2.0)
        while dead or settled:
            try:
                async with self._redis.pipeline(transaction=True) as pipe:
                    for event, why in dead:
                        pipe.xadd(
                            keys.events_dead(self.function),
                            events.fields([event]) | {b"error": why.encode()},
                            maxlen=self._dead_length,
                            approximate=True,
                        )
                    if settled:
                        pipe.xack(self._stream, self.function, *settled)
                    await pipe.execute()
                return
            except (RedisError, OSError) as error:
                logger.warning("acknowledging_failed", function=self.function, error=error)
                await backoff.pause()

    def _count(self, outcome: str) -> None:
        metrics.DISPATCHED.labels(self.function, outcome).inc()


def _envelope(event: Happened) -> dict[str, Any]:
    time = datetime.fromtimestamp(event.ts / 1000, UTC)
    cause = {"request": event.request_id} if event.request_id else {}
    return cause | {
        "specversion": "1.0",
        "id": event.id,
        "source": "/events",
        "type": event.type,
        "kind": "event",
        "time": time.isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": event.data,
    }


def _clock() -> float:
    return asyncio.get_running_loop().time()
