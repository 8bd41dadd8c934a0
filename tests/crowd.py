"""Many clients that chat in pairs while something breaks, and the proof that nothing was lost."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Self

from stonechat import Client, StonechatError

from tests.checker import Record, check
from tests.wire import PASSWORD, direct

_SETTLE_SECONDS = 60.0


class Crowd:
    """`size` clients, each writing to its neighbours all the time between entering and `settle`."""

    def __init__(
        self, urls: Sequence[str], name: str, size: int, *, seed: int, pause: float
    ) -> None:
        """Each client waits about `pause` seconds between two messages."""
        self._urls = list(urls)
        self._name = name
        self._size = size
        self._random = random.Random(seed)
        self._pause = pause
        self._stack = AsyncExitStack()
        self._writing = True
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = itertools.count()
        self.clients: list[Client] = []
        self.records: list[Record] = []
        self.members: dict[str, set[str]] = {}
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        for number in range(self._size):
            first = number % len(self._urls)
            client = Client([*self._urls[first:], *self._urls[:first]], from_start=True)
            await self._stack.enter_async_context(client)
            await client.register(f"{self._name}{number}", PASSWORD)
            self.clients.append(client)
            self.records.append(Record(f"{self._name}{number}", client.uid))
        for number, record in enumerate(self.records):
            for other in (number + 1, number + 2):
                pair = {record.uid, self.records[other % self._size].uid}
                if len(pair) == 2:
                    self.members[direct(*pair)] = pair
        for client, record in zip(self.clients, self.records, strict=True):
            self._tasks.append(asyncio.create_task(self._read(client, record)))
            self._tasks.append(asyncio.create_task(self._write(client, record)))
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._writing = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def acknowledged(self) -> int:
        return sum(len(record.acknowledged) for record in self.records)

    async def until_acknowledged(self, count: int, seconds: float = 60) -> None:
        """Returns when so many more messages are acknowledged."""
        goal = self.acknowledged + count
        async with asyncio.timeout(seconds):
            while self.acknowledged < goal:
                self.changed.clear()
                await self.changed.wait()

    async def settle(self, *, in_order: bool) -> int:
        """Stops writing, waits until everybody has everything, and returns how many acknowledged
        messages are proven. Raises `AssertionError` with what is wrong."""
        self._writing = False
        async with asyncio.timeout(_SETTLE_SECONDS):
            await asyncio.gather(*self._tasks[1::2])
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while not self._complete():
                    self.changed.clear()
                    await self.changed.wait()
        return check(self.records, self.members, in_order=in_order)

    def _complete(self) -> bool:
        ends = dict.fromkeys(self.members, 0)
        for record in self.records:
            for (conv, _), seq in record.acknowledged.items():
                ends[conv] = max(ends[conv], seq)
        return all(
            len(record.applied[conv]) >= end
            for conv, end in ends.items()
            for record in self.records
            if record.uid in self.members[conv]
        )

    async def _read(self, client: Client, record: Record) -> None:
        async for entry in client.entries():
            record.apply(
                {"conv": entry.conv, "seq": entry.seq, "id": entry.id, "sender": entry.sender}
            )
            self.changed.set()

    async def _write(self, client: Client, record: Record) -> None:
        mine = sorted(conv for conv, pair in self.members.items() if record.uid in pair)
        while self._writing:
            conv, cid = self._random.choice(mine), f"c{next(self._numbers)}"
            record.send(conv, cid)
            with suppress(StonechatError):
                sent = await client.send(conv=conv, text=cid, cid=cid)
                record.acknowledge(conv, cid, sent.seq)
                self.changed.set()
            await asyncio.sleep(self._random.uniform(0, 2 * self._pause))
