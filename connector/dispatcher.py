"""Domain events on their way from the stream to the functions that want them, at least once.

Each function that announces `stonechat.events` is a consumer group of the stream, each connector a
consumer in it. What a connector has read is pending under its name until the function has handled
it. A connector refreshes what it still holds; what nobody has refreshed for a while is taken over,
so a dead connector's events are not lost.

One connection waits for news for all functions; what there is is then read for each of them that
has room, in one pipeline. A function without room reads on when it has worked off what it holds.

A new group begins with what comes next. A group that was there and is not (Redis lost it) is made
again, and begins with all there is.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from connector import metrics, streams
from connector.backoff import Backoff
from connector.forwarder import Forwarder
from connector.routes import Routes
from connector.subscriber import Subscriber
from shared import events, keys
from shared.settings import Settings

logger = structlog.get_logger(__name__)

_COUNT = 20  # stream entries in one read
_BLOCK = 1000  # ms
_BLOCK_FULL = 50  # ms, while a function has no room
_GATHER = 0.01  # seconds after the first of what comes together
_CHUNK = 1000  # stream entries refreshed in one command


class Dispatcher:
    """Of one stream. `run` reads and `tend` takes over, both until cancelled. `start` runs a
    subscriber's work. `ready` is set once all functions announced so far miss nothing."""

    def __init__(
        self,
        stream: str,
        client: Redis,
        node: str,
        forwarder: Forwarder,
        routes: Callable[[], Routes],
        start: Callable[[Coroutine[Any, Any, None]], None],
        config: Settings,
    ) -> None:
        self.ready = asyncio.Event()
        self._stream = stream
        self._redis = client
        self._node = node
        self._forwarder = forwarder
        self._routes = routes
        self._start = start
        self._config = config
        self._claim_after = config.events_claim_after
        self._subscribers: dict[str, Subscriber] = {}
        self._known: set[str] = set()  # functions that had a group

    async def run(self) -> None:
        """Reads until cancelled."""
        backoff = Backoff(0.05, 2.0)
        while True:
            try:
                self._follow_routes()
                if not self._subscribers:
                    self.ready.set()
                    await asyncio.sleep(_BLOCK / 1000)
                    continue
                reading = [each for each in self._subscribers.values() if each.room]
                since = await self._read(reading)
                if since is not None:
                    self.ready.set()
                    full = len(reading) < len(self._subscribers)
                    await self._wait(since, _BLOCK_FULL if full else _BLOCK)
                backoff.reset()
            except (RedisError, OSError) as error:
                logger.warning("dispatcher_failed", error=error)
                await backoff.pause()
            except Exception:  # the last resort: reading goes on
                logger.exception("dispatcher_broke")
                await backoff.pause()

    async def tend(self) -> None:
        """Refreshes, takes over and tidies up until cancelled."""
        while True:
            await asyncio.sleep(self._claim_after / 3)
            for subscriber in list(self._subscribers.values()):
                try:
                    await self._refresh(subscriber)
                    await self._take_over(subscriber)
                    await self._remove_the_dead(subscriber.function)
                except (RedisError, OSError) as error:
                    logger.warning("tending_failed", error=error)
                except Exception:  # the last resort: the others are tended, and this one later
                    logger.exception("tending_broke", function=subscriber.function)

    def _follow_routes(self) -> None:
        wanted = {
            function: here
            for function, types in self._routes().events.items()
            if (here := frozenset(each for each in types if events.stream(each) == self._stream))
        }
        for function, types in wanted.items():
            if function in self._subscribers:
                self._subscribers[function].types = types
                continue
            subscriber = Subscriber(
                self._stream, function, types, self._redis, self._forwarder, self._config
            )
            self._subscribers[function] = subscriber
            self._start(subscriber.run())
        for function in self._subscribers.keys() - wanted.keys():
            self._subscribers.pop(function).stop()

    async def _read(self, reading: list[Subscriber]) -> str | None:
        """Reads what there is for these. Returns the place in the stream behind which there may be
        more for one of them, or None where it is better to look again at once."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for subscriber in reading:
                pipe.xreadgroup(subscriber.function, self._node, {self._stream: ">"}, count=_COUNT)
            pipe.xinfo_groups(self._stream)
            *found, groups = await pipe.execute(raise_on_error=False)
        again = False
        for subscriber, entries in zip(reading, found, strict=True):
            if isinstance(entries, ResponseError) and str(entries).startswith("NOGROUP"):
                await self._make_group(subscriber.function)
                again = True
            elif isinstance(entries, Exception):
                raise entries
            elif entries:
                subscriber.add(streams.entries(entries))
                again = True
        if again:
            return None
        if isinstance(groups, Exception):
            raise groups
        return self._since(groups, {each.function for each in reading})

    def _since(self, groups: list[dict[str, Any]], reading: set[str]) -> str:
        """What was delivered to all who read."""
        delivered = []
        for group in groups:
            function = group["name"].decode()
            if function in self._subscribers:
                self._known.add(function)
                metrics.LAG.labels(function, self._stream).set(group["lag"] or 0)
            if function in reading:
                delivered.append(group["last-delivered-id"].decode())
        return min(delivered, key=streams.place, default="$")

    async def _wait(self, since: str, block: int) -> None:
        """Returns when there is more, and after `block` ms."""
        if await self._redis.xread({self._stream: since}, count=1, block=block):
            await asyncio.sleep(_GATHER)

    async def _make_group(self, function: str) -> None:
        # Where the stream ends, as `$` does; but only with its length can Redis tell the lag.
        begin, length = "0", None
        if function not in self._known and await self._redis.exists(self._stream):
            stream = await self._redis.xinfo_stream(self._stream)
            begin, length = stream["last-generated-id"], stream["entries-added"]
        logger.info("events_group_made", function=function)
        try:
            await self._redis.xgroup_create(
                self._stream, function, begin, mkstream=True, entries_read=length
            )
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another connector was first
                raise

    async def _refresh(self, subscriber: Subscriber) -> None:
        held: list[Any] = list(subscriber.backlog.entries)
        for start in range(0, len(held), _CHUNK):
            await self._redis.xclaim(
                self._stream,
                subscriber.function,
                self._node,
                min_idle_time=self._milliseconds(1 / 6),  # not what another just took over
                message_ids=held[start : start + _CHUNK],
                justid=True,
            )

    async def _take_over(self, subscriber: Subscriber) -> None:
        cursor: Any = "0-0"
        while subscriber.room:
            cursor, entries, *_ = await self._redis.xautoclaim(
                self._stream,
                subscriber.function,
                self._node,
                min_idle_time=self._milliseconds(1),
                start_id=cursor,
                count=_COUNT,
            )
            if entries:
                logger.warning(
                    "events_taken_over", function=subscriber.function, batches=len(entries)
                )
                subscriber.add(entries)
            if streams.place(cursor) == (0, 0):
                return

    async def _remove_the_dead(self, function: str) -> None:
        """Consumers of nodes that are gone, when nothing of theirs is pending."""
        consumers = await self._redis.xinfo_consumers(self._stream, function)
        idle = [each["name"].decode() for each in consumers if not each["pending"]]
        for node in idle:
            if node != self._node and not await self._redis.exists(keys.node_alive(node)):
                await self._redis.xgroup_delconsumer(self._stream, function, node)

    def _milliseconds(self, share: float) -> int:
        return int(self._claim_after * share * 1000)
