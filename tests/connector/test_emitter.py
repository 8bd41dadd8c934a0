"""What a connector says of its sessions, while Redis is there and while it is not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from connector import metrics
from connector.emitter import Emitter
from connector.registry import Registry
from connector.session import Session
from connector.subscriptions import Subscriptions
from local import ports
from local.stack import Stack
from shared import events, keys
from shared.events import Happened
from shared.ids import new_id
from shared.settings import settings
from tests.connector import outlets


def session(uid: str) -> Session:
    return outlets.session(uid, new_id())


@pytest.fixture
async def client(stores: Stack) -> AsyncIterator[Redis]:
    made: Redis = Redis.from_url(settings().redis_url)
    yield made
    await made.aclose()


def emitter(client: Redis, unsent: int = 1000) -> Emitter:
    registry = Registry(client, new_id(), Subscriptions())
    return Emitter(client, registry, stream_length=1000, unsent=unsent)


async def written(client: Redis, uid: str, since: bytes) -> list[list[Happened]]:
    entries = await client.xrange(keys.EVENTS, min=b"(" + since)
    batches = [events.parse(fields) for _, fields in entries]
    return [batch for batch in batches if batch[0].data["uid"] == uid]


async def end(client: Redis) -> bytes:
    last = await client.xrevrange(keys.EVENTS, count=1)
    return bytes(last[0][0]) if last else b"0-0"


async def test_many_sessions_are_few_entries(client: Redis) -> None:
    made, uid, since = emitter(client), new_id(), await end(client)
    sessions = [session(uid) for _ in range(250)]
    for each in sessions:
        made.opened(each)
    made.closed(sessions[0])
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(5):
        while len(await written(client, uid, since)) < 2:
            await asyncio.sleep(0.01)
    running.cancel()
    first, second = await written(client, uid, since)
    assert len(first) + len(second) == 251
    assert [each.data["sid"] for each in [*first, *second][:250]] == [each.sid for each in sessions]
    assert {each.type for each in first} == {"session.opened"}
    closed = second[-1]
    assert closed.type == "session.closed"
    assert closed.data == {
        "uid": uid,
        "did": "did",
        "sid": sessions[0].sid,
        "at": closed.data["at"],
    }


async def test_without_redis_events_wait_up_to_a_bound(client: Redis) -> None:
    away: Redis = Redis(port=ports.free_port())
    made, uid, since = emitter(away, unsent=3), new_id(), await end(client)
    before = metrics.UNSENT._value.get()
    running = asyncio.create_task(made.run())
    for _ in range(5):
        made.opened(session(uid))
    await asyncio.sleep(0)
    assert metrics.UNSENT._value.get() - before == 2
    made._redis = client
    async with asyncio.timeout(5):
        while not (found := await written(client, uid, since)):
            await asyncio.sleep(0.01)
    running.cancel()
    assert [len(batch) for batch in found] == [3]
    await away.aclose()
