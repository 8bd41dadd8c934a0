"""The Redis that this node speaks to, and whether it is still the one it was.

Redis may be restored from a snapshot or fail over to a replica, and nothing that it says shows it.
So every new connection looks before its first command which process it met (`run_id`), and every
heartbeat whose data there is (`master_replid`: a Redis that was another's replica meanwhile keeps
its process and its connections). Where that changed, what this node told Redis, and what Redis
kept for this node, is not to be believed.

The soft state of functions is believed while the mark of its generation stands (`NUMBER:RUN_ID`).
Functions set it; here it is only taken away, where it is another process' or of data that were
replaced, and the next function that misses it raises the next generation.
"""

from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared import keys
from shared.scripts import MEET
from shared.settings import Settings

logger = structlog.get_logger(__name__)

# Takes away the mark, if it is this one.
_FORGET = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class Origin:
    """Makes the `client` of this node's Redis."""

    def __init__(self, config: Settings) -> None:
        self._run = b""
        self._replication = ""
        self._mark: bytes | None = None  # as of the last look
        self._changed: Callable[[], None] = _nobody
        self.client: Redis = Redis.from_url(
            config.redis_url,
            socket_timeout=config.store_timeout,
            socket_connect_timeout=2,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._meet,
        )

    def tell(self, changed: Callable[[], None]) -> None:
        """`changed` is called as soon as a connection meets another process than the one before,
        before the connection is used."""
        self._changed = changed

    async def look(self) -> bool:
        """Whether the data are still those of the last look. Raises `RedisError` and `OSError`;
        then the next look tells."""
        async with self.client.pipeline(transaction=False) as pipe:
            pipe.info("replication")
            pipe.get(keys.GENERATION)
            info, mark = await pipe.execute()
        found, before = str(info["master_replid"]), self._replication
        same = before in ("", found)
        if not same:
            logger.warning("redis_replaced", before=before, now=found)
            if self._mark is not None:
                await self.client.eval(_FORGET, 1, keys.GENERATION, self._mark)
        self._replication, self._mark = found, mark
        return same

    async def _meet(self, connection: Connection) -> None:
        await connection.on_connect()
        await connection.send_command("EVAL", MEET, 1, keys.GENERATION)
        found: Any = await connection.read_response()
        before, self._run = self._run, found
        if before not in (b"", found):
            logger.warning("redis_replaced", before=before.decode(), now=found.decode())
            self._replication = ""  # what changed with it is no news
            self._changed()


def number(mark: bytes) -> int:
    """The generation that is marked."""
    return int(mark.split(b":", 1)[0])


def _nobody() -> None:
    pass
