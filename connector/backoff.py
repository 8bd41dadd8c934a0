"""Pauses between tries: exponential, with full jitter (as AWS' architecture blog names it)."""

import asyncio
import random


class Backoff:
    """Pauses of random length up to `base`, twice that, and so on up to `cap` seconds."""

    def __init__(self, base: float, cap: float) -> None:
        self._base = base
        self._cap = cap
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next(self) -> float:
        """Seconds to pause now."""
        limit = min(self._cap, self._base * 2**self._tries)
        self._tries = min(self._tries + 1, 30)
        return random.uniform(limit / 2, limit)  # noqa: S311 (no secret depends on it)

    async def pause(self) -> None:
        await asyncio.sleep(self.next())
