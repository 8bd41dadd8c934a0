"""What has arrived and the app has not taken yet: entries, in order, and signals."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Signal = tuple[str, dict[str, Any]]  # (method, params)


class Inbox(Generic[T]):
    """A queue. At `limit` items it says that there is no room, until half of them are taken; a
    `lossy` one forgets the oldest instead."""

    def __init__(self, limit: int, *, lossy: bool = False) -> None:
        self._items: deque[T] = deque(maxlen=limit if lossy else None)
        self._limit = limit
        self._lossy = lossy
        self._news = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self._error: Exception | None = None

    def put(self, items: Iterable[T]) -> None:
        self._items.extend(items)
        self._news.set()
        if len(self._items) >= self._limit and not self._lossy:
            self.room.clear()

    def end(self, error: Exception) -> None:
        """Whoever waits, or will, gets this error after the last item."""
        self._error = error
        self._news.set()

    async def take(self) -> T:
        """The oldest item, as soon as there is one."""
        while not self._items:
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        item = self._items.popleft()
        if len(self._items) <= self._limit // 2:
            self.room.set()
        return item
