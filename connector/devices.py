"""Whether the devices behind tokens are still signed in."""

from collections.abc import Sequence

from redis.asyncio import Redis

from shared import keys
from shared.errors import CallError, Reason
from shared.tokens import Access


class Devices:
    def __init__(self, client: Redis) -> None:
        self._redis = client

    async def refusals(self, tokens: Sequence[Access]) -> list[CallError | None]:
        """For each token why its device may not go on, None where it may. Raises `RedisError`,
        `OSError` or `TimeoutError`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for token in tokens:
                pipe.exists(keys.revoked(token.device))
            revoked = await pipe.execute()
        return [
            CallError(Reason.UNAUTHENTICATED, "the device is signed out") if dead else None
            for dead in revoked
        ]
