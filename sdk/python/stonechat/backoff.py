"""Pauses between tries: exponential, with jitter, so that clients do not come back all at once."""

import random


class Backoff:
    """Random pauses of up to `base` seconds, twice that, and so on up to `cap`."""

    def __init__(self, base: float = 0.2, cap: float = 10.0) -> None:
        self._base = base
        self._cap = cap
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next(self) -> float:
        """Seconds to pause now."""
        limit = min(self._cap, self._base * 2**self._tries)
        self._tries = min(self._tries + 1, 30)
        return random.uniform(0, limit)  # noqa: S311 (no secret depends on it)
