"""Whether a function's process can do its work now: its secrets make sense and its stores answer.

Probes come every few seconds from several sides, so what is found holds for a moment, one probe
asks at a time, and a store that is silent costs each no more than a second.
"""

import threading
import time
from collections.abc import Callable
from functools import cache

import pymongo
import redis
import structlog
from pymongo.errors import PyMongoError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from shared import startup, stores
from shared.findings import serious
from shared.settings import settings

logger = structlog.get_logger(__name__)


class NotReadyError(RuntimeError):
    """A line that says what is missing."""


class Readiness:
    """Safe under threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._missing: list[str] = []
        self._secrets_are_good = False

    def require(self, needs: startup.Needs) -> None:
        """Raises `NotReadyError`."""
        with self._lock:
            if self._clock() >= self._until:
                missing = self._look(needs)
                if missing != self._missing:
                    (logger.warning if missing else logger.info)(
                        "readiness_changed", missing=missing
                    )
                self._missing = missing
                self._until = self._clock() + settings().ready_kept
            missing = self._missing
        if missing:
            raise NotReadyError("; ".join(missing))

    def _look(self, needs: startup.Needs) -> list[str]:
        missing = []
        if not self._secrets_are_good:
            missing = [str(each) for each in serious(startup.examine(needs))]
            self._secrets_are_good = not missing
        return missing + [told for told in (_redis(), _mongo()) if told]


def _redis() -> str:
    try:
        _prober().ping()
    except (RedisError, OSError) as failure:
        return f"Redis does not answer ({type(failure).__name__})"
    return ""


def _mongo() -> str:
    try:
        with pymongo.timeout(settings().ready_timeout):
            stores.mongo().admin.command("ping")
    except (PyMongoError, OSError) as failure:
        return f"MongoDB does not answer ({type(failure).__name__})"
    return ""


@cache
def _prober() -> redis.Redis:
    """A connection of its own, which waits no longer than a probe may."""
    config = settings()
    return redis.Redis.from_url(
        config.redis_url,
        socket_timeout=config.ready_timeout,
        socket_connect_timeout=config.ready_timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=2,
    )
