"""Following conversations: what was there, then what comes."""

import time
from dataclasses import asdict
from operator import attrgetter

from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.state import State
from stonechat.terminal import screen
from stonechat.terminal.called import Called

LINES = 10
_PAGE = 200
_MARK_SECONDS = 1.0  # between two times that it is kept how far one got


class Enough(Exception):
    """As many entries were shown as were asked for."""


class Tail:
    """Shows entries of one conversation, or of all where `conv` is None, as lines or as JSON, and
    raises `Enough` after `count` of them, if that is not 0."""

    def __init__(
        self, client: Client, state: State, conv: str | None, *, json: bool, count: int
    ) -> None:
        self._client = client
        self._state = state
        self._conv = conv
        self._json = json
        self._left = count
        self._called = Called(client)
        self._kept = 0.0

    async def last(self, lines: int) -> None:
        """The last so many, oldest first."""
        for entry in await self._last(self._wanted(lines)):
            await self._show(entry)
            self._count()

    async def follow(self, lines: int | None, *, past: bool) -> None:
        """What came since the last time, then what comes, without end. Where `lines` are given, or
        there is no last time (which of all conversations `past` says), the last ones come first."""
        if self._conv is None:
            await self._follow_all(LINES if lines is None and not past else lines)
        else:
            await self._follow_one(self._conv, lines)

    async def _follow_all(self, lines: int | None) -> None:
        seen: dict[str, int] = {}
        if lines is not None:
            listed = await self._client.conversations.list()
            seen = {each.conv: each.last_seq for each in listed}
            await self.last(lines)
        async for entry in self._client.entries():
            if entry.seq > seen.get(entry.conv, 0):
                await self._show(entry)
                self._state.set_last(entry.conv, entry.seq)
                self._count()

    async def _follow_one(self, conv: str, lines: int | None) -> None:
        """How far this conversation was followed is kept apart: what a device is done with counts
        for all of them, followed or not."""
        name = f"followed {conv}"
        self._mark: int | None = None if lines is not None else self._state.get(name)
        try:
            if self._mark is None:
                wanted = self._wanted(LINES if lines is None else lines)
                newest = await self._client.history(conv, limit=max(1, wanted))
                self._mark = 0
                for entry in newest if wanted else []:
                    await self._followed(name, entry)
                self._mark = newest[-1].seq if newest else 0
            while page := await self._client.history(conv, after=self._mark, limit=_PAGE):
                for entry in page:
                    await self._followed(name, entry)
            async for entry in self._client.entries():
                if entry.conv == conv and entry.seq > self._mark:
                    await self._followed(name, entry)
        finally:
            if self._mark is not None:
                self._state.put(name, self._mark)

    async def _followed(self, name: str, entry: Entry) -> None:
        """How far one got is kept now and then, as the disk is waited for, and at the end."""
        await self._show(entry)
        self._mark = entry.seq
        if time.monotonic() - self._kept > _MARK_SECONDS:
            self._state.put(name, self._mark)
            self._kept = time.monotonic()
        self._count()

    async def _last(self, lines: int) -> list[Entry]:
        """Of one conversation, or of those that changed last."""
        if not lines:
            return []
        if self._conv is not None:
            return await self._client.history(self._conv, limit=lines)
        found: list[Entry] = []
        for each in (await self._client.conversations.list())[:lines]:
            found += await self._client.history(each.conv, limit=lines)
        return sorted(found, key=attrgetter("ts"))[-lines:]

    async def _show(self, entry: Entry) -> None:
        if self._json:
            screen.dump(asdict(entry))
            return
        for line in await self._called.lines([entry]):
            screen.show(line, entry.conv, entry.seq)

    def _wanted(self, lines: int) -> int:
        """Where it ends after fewer, it ends with the last one there is."""
        return min(lines, self._left) if self._left else lines

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Enough
