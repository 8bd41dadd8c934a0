"""A node without sockets on a real Redis, in a database of its own, before functions of ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import orjson
import pytest
import redis

from connector.answers import Answer
from connector.channel_sources import ChannelSources
from connector.devices import Devices
from connector.emitter import Emitter
from connector.inbox import Inbox
from connector.lanes import Pending
from connector.node import Node
from connector.origin import Origin
from connector.pulse import Pulse
from connector.registry import Registry
from connector.resync import Resync
from connector.routes import CHECK, ChannelSource, Routes
from connector.session import Session
from connector.subscriptions import Subscriptions
from local.stack import Stack
from shared import keys
from shared.bus import Bus, Item
from shared.ids import new_id
from shared.settings import Settings, settings
from shared.tokens import Access
from tests.connector.outlets import ENDLESS, Recorder

Give = Callable[[Session], Awaitable[Answer]]

CONFIG = {
    "join_believed": 10.0,
    "lane_batch": 2,
    "node_ttl": 15.0,
    "heartbeat_interval": 0.05,
    "node_stream_length": 3,
}


class Desk:
    """`inside` are the channels that functions say, by uid; `dead` the devices that are signed
    out. `give` answers for a session instead, where it is set."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.node_id = new_id()
        self.inside: dict[str, list[str]] = {}
        self.dead: set[str] = set()
        self.give: Give | None = None
        self.asked: list[tuple[str, list[str | None]]] = []  # method, uids
        self.sessions: dict[str, Session] = {}
        self.outlets = {name: Recorder() for name in "abc"}
        self.closed: list[tuple[str, int]] = []
        self.origin = Origin(config)
        self.client = self.origin.client
        self.subscriptions = Subscriptions()
        self.registry = Registry(self.client, self.node_id, self.subscriptions)
        self.emitter = Emitter(self.client, self.registry, stream_length=1000, unsent=1000)
        self.routes = Routes(
            channel_sources=(ChannelSource("group", refuses=True, budget=1.0),), checker="auth"
        )
        self.sources = ChannelSources(
            self._forward, self.subscriptions, self.registry, lambda: self.routes
        )
        self.devices = Devices(self.client, self._forward, lambda: self.routes)
        self.pulse = Pulse(self.client, self.node_id, config.node_ttl)
        self.resync = Resync(
            self.subscriptions,
            self.registry,
            self.devices,
            self.sources,
            self.emitter,
            self._close,
            config,
        )
        self.inbox = Inbox(
            self.origin,
            self.node_id,
            self.pulse,
            self.subscriptions,
            self.registry,
            self.resync,
            self.sessions.values,
            self._close,
            config,
        )
        self.origin.tell(self.inbox.lose)
        self.node = Node(
            self.origin,
            self.node_id,
            self.pulse,
            self.inbox,
            self.emitter,
            ttl=config.node_ttl,
            interval=config.heartbeat_interval,
        )
        self._publisher = redis.Redis.from_url(config.redis_url)
        self._bus = Bus(self._publisher, 10_000, 1024 * 1024, 2000)

    @property
    def written(self) -> dict[str, list[bytes]]:
        return {sid: outlet.frames for sid, outlet in self.outlets.items()}

    def publish(self, *items: Item) -> None:
        self._bus.publish(items)

    async def read(self) -> None:
        await self.inbox.deliver(await self.inbox._next())

    async def add(self, sid: str, uid: str, device: str = "did", *names: str) -> Session:
        """An open session on its person's channel and on these, which Redis knows."""
        session = Session(len(self.sessions), sid, ENDLESS, self.outlets[sid], 0.0)
        session.sign(uid, device)
        session.access = Access(uid, device, 1, 0, 2**31)
        session.opened = True
        self.sessions[sid] = session
        for name in (f"user:{uid}", *names):
            self.subscriptions.subscribe(session, name)
        await self.registry._tell()
        return session

    async def mark(self, number: int) -> bytes:
        """Another generation, as functions raise it."""
        run = (await self.client.info("server"))["run_id"]
        mark = f"{number}:{run}"
        await self.client.set(keys.GENERATION, mark)
        return mark.encode()

    @asynccontextmanager
    async def running(self, *, beating: bool = False) -> AsyncIterator[None]:
        """The node's loops run."""
        works = [self.registry.run(), self.inbox.run()] + ([self.node.run()] if beating else [])
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            pending = set(tasks)
            while pending:  # a library may take a cancellation for a lost connection
                for task in pending:
                    task.cancel()
                _, pending = await asyncio.wait(pending, timeout=0.2)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def until_told(self, sid: str, frame: bytes, times: int = 1) -> None:
        await self.until(lambda: self.written[sid].count(frame) >= times)

    def _close(self, session: Session, code: int, why: str) -> None:
        self.closed.append((session.sid, code))
        session.closing = True

    async def _forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        self.asked.append((calls[0].method, [call.session.uid for call in calls]))
        return [await self._answer(call) for call in calls]

    async def _answer(self, call: Pending) -> Answer:
        if call.method == CHECK:
            alive = call.session.device not in self.dead
            return orjson.dumps({"result": {"alive": alive}})
        if self.give is not None:
            return await self.give(call.session)
        return names(*self.inside.get(call.session.uid or "", ()))

    async def close(self) -> None:
        await self.client.flushdb()
        await self.client.aclose()
        self._publisher.close()


def names(*channels: str) -> Answer:
    """An answer that gives these channels."""
    return orjson.dumps({"result": {"channels": channels}})


@pytest.fixture
async def desk(stores: Stack) -> AsyncIterator[Desk]:
    url = urlsplit(settings().redis_url)._replace(path="/1").geturl()
    made = Desk(settings().model_copy(update=CONFIG | {"redis_url": url}))
    await made.client.flushdb()
    yield made
    await made.close()
