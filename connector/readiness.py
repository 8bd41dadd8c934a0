"""Whether this connector can open sessions now: `/readyz` asks it.

Where it cannot, new clients had better go elsewhere; those that it has stay, and who connects all
the same is served as soon as that is possible. What is found holds for a moment, so that probes
cost Redis one command in it, whoever sends them.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.settings import Settings

logger = structlog.get_logger(__name__)


class Readiness:
    def __init__(self, client: Redis, own: Callable[[], Iterable[str]], config: Settings) -> None:
        """`own` says what the connector itself lacks, a line each."""
        self._redis = client
        self._own = own
        self._timeout = config.ready_timeout
        self._kept = config.ready_kept
        self._until = 0.0
        self._redis_lacks = ""
        self._told: list[str] = []
        self._asking = asyncio.Lock()

    async def missing(self) -> list[str]:
        """What is missing, a line each; nothing where it is ready."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._redis_lacks = await self._ask()
                self._until = time.monotonic() + self._kept
        found = [*self._own(), *filter(None, [self._redis_lacks])]
        if found != self._told:
            self._told = found
            (logger.warning if found else logger.info)("readiness_changed", missing=found)
        return found

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as failure:
            return f"Redis does not answer ({type(failure).__name__})"
        return ""
