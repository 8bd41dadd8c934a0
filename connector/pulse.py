"""This node's heartbeat in Redis: a number that grows with each beat, and lives as long as a node
may be silent.

Whoever finds no number sweeps the node, and nobody else writes it. So a number at or above one
that was certain proves that this node was a node all the time in between: not swept while it was
frozen or cut off, and its Redis not emptied.
"""

import asyncio

from redis.asyncio import Redis

from shared import keys


class Pulse:
    def __init__(self, client: Redis, node: str, ttl: float) -> None:
        """A node that is silent for `ttl` seconds counts as dead."""
        self._redis = client
        self._node = node
        self._ttl = ttl
        self._written = 0  # the highest number that may be in Redis
        self._beating = asyncio.Lock()
        self.sure = 0  # the highest that is known to have followed upon the one before, or 0

    async def beat(self) -> bool:
        """Writes the next number. False where the one before is not there any more. Raises
        `RedisError` and `OSError`."""
        async with self._beating:
            self._written += 1
            async with self._redis.pipeline(transaction=True) as pipe:
                alive = keys.node_alive(self._node)
                pipe.set(alive, self._written, px=int(self._ttl * 1000), get=True)
                pipe.sadd(keys.NODES, self._node)
                before, _ = await pipe.execute()
            least, self.sure = self.sure, self._written
        return not least or _is_between(before, least, self._written)

    async def reaches(self, found: bytes | None, least: int) -> bool:
        """Whether this node was a node all the time between `least` being sure and the number that
        was found afterwards. A beat that is under way is waited for."""
        if not least:
            return True
        if found is not None and found.isdigit() and int(found) > self.sure:
            async with self._beating:
                pass
        return _is_between(found, least, self.sure)


def _is_between(found: bytes | None, least: int, most: int) -> bool:
    return found is not None and found.isdigit() and least <= int(found) <= most
