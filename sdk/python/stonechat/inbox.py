"""What has arrived and the app has not taken yet: entries, in order, and signals."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that says when it is full instead of dropping anything, and when there is room."""

    def __init__(self, limit: int, full: Callable[[bool], None]) -> None:
        """`full(True)` is called at `limit` items, `full(False)` when half of them are taken."""
        self._items: deque[T] = deque()
        self._limit = limit
        self._tell = full
        self._news = asyncio.Event()
        self.room = asyncio.Event()  # cleared while it is full
        self.room.set()
        self._error: Exception | None = None

    def put(self, items: Iterable[T]) -> None:
        self._items.extend(items)
        self._news.set()
        if self.room.is_set() and len(self._items) >= self._limit:
            self.room.clear()
            self._tell(True)

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
        if not self.room.is_set() and len(self._items) <= self._limit // 2:
            self.room.set()
            self._tell(False)
        return item


Signal = tuple[str, dict[str, Any]]  # (method, params)
