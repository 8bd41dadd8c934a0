"""Tells Redis which channels this node listens to.

A change is told in the next pipeline, with all others that came up meanwhile; `flush` returns when
everything that was changed before it is in Redis. What is told is the state at that time, so a
channel that is left and joined again in between cannot end up wrong.
"""

import asyncio

import structlog
from redis.asyncio import Redis

from connector.backoff import Backoff
from connector.subscriptions import Subscriptions
from shared import keys

logger = structlog.get_logger(__name__)

_CHUNK = 2000  # channels in one pipeline


class Registry:
    def __init__(self, client: Redis, node: str, subscriptions: Subscriptions) -> None:
        self._redis = client
        self._node = node
        self._subscriptions = subscriptions
        self._waiting: list[asyncio.Future[None]] = []
        self._telling = False
        self._wake = asyncio.Event()

    async def flush(self) -> None:
        """Returns when Redis knows all changes made so far. Waits while Redis is away."""
        if not (self._subscriptions.dirty or self._waiting or self._telling):
            return
        told = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        self._wake.set()
        await told

    def changed(self) -> None:
        """Something may have changed that nobody waits for."""
        if self._subscriptions.dirty:
            self._wake.set()

    async def tell_all_again(self) -> None:
        """Redis may have lost everything, or know of channels that were left since. Raises
        `RedisError` and `OSError`."""
        known = await self._redis.smembers(keys.node_channels(self._node))
        self._subscriptions.dirty.update(
            name.decode() if isinstance(name, bytes) else name for name in known
        )
        self._subscriptions.dirty.update(self._subscriptions)
        self._wake.set()

    async def run(self) -> None:
        """Tells changes until cancelled."""
        backoff = Backoff(0.05, 2.0)
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            self._telling = True
            try:
                await self._tell()
            except Exception as error:  # whatever it was, it is told again
                logger.warning("registry_failed", error=error)
                self._waiting = waiting + self._waiting
                self._wake.set()
                await backoff.pause()
                continue
            finally:
                self._telling = False
            backoff.reset()
            for told in waiting:
                if not told.done():
                    told.set_result(None)

    async def _tell(self) -> None:
        while self._subscriptions.dirty:
            chunk = [self._subscriptions.dirty.pop() for _ in range(self._chunk_size())]
            joined = [name for name in chunk if name in self._subscriptions]
            left = [name for name in chunk if name not in self._subscriptions]
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for name in joined:
                        pipe.sadd(keys.channel(name), self._node)
                    for name in left:
                        pipe.srem(keys.channel(name), self._node)
                    if joined:
                        pipe.sadd(keys.node_channels(self._node), *joined)
                    if left:
                        pipe.srem(keys.node_channels(self._node), *left)
                    await pipe.execute()
            except BaseException:
                self._subscriptions.dirty.update(chunk)
                raise

    def _chunk_size(self) -> int:
        return min(_CHUNK, len(self._subscriptions.dirty))
