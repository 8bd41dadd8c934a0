"""What Redis is told of channels, on a real one that is held up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from connector.registry import Registry
from connector.subscriptions import Subscriptions
from local.stack import Stack
from shared import keys
from shared.ids import new_id
from shared.settings import settings
from tests.connector import outlets
from tests.proxy import Proxy


@pytest.fixture
async def client(stores: Stack) -> AsyncIterator[Redis]:
    made: Redis = Redis.from_url(settings().redis_url)
    yield made
    await made.aclose()


async def test_nobody_goes_on_before_redis_knows_what_another_joined(client: Redis) -> None:
    """A second session on a channel adds nothing to tell, but what was told of it may still be on
    its way."""
    node, channel, subscriptions = new_id(), f"group:{new_id()}", Subscriptions()
    async with Proxy(settings().redis_url) as proxy, Redis.from_url(proxy.url) as far:
        await far.ping()
        proxy.delay = 0.2
        registry = Registry(far, node, subscriptions)
        running = asyncio.create_task(registry.run())
        subscriptions.subscribe(outlets.session("a"), channel)
        registry.changed()
        while subscriptions.dirty:
            await asyncio.sleep(0)
        subscriptions.subscribe(outlets.session("b"), channel)
        await registry.flush()
        assert await client.sismember(keys.channel(channel), node)
        running.cancel()
    await client.delete(keys.channel(channel), keys.node_channels(node))


async def test_a_flush_waits_for_what_was_changed_before_it(client: Redis) -> None:
    node, subscriptions = new_id(), Subscriptions()
    registry = Registry(client, node, subscriptions)
    running = asyncio.create_task(registry.run())
    one, names = outlets.session("a"), [f"group:{new_id()}" for _ in range(5)]
    for name in names:
        subscriptions.subscribe(one, name)
    await registry.flush()
    assert await client.smembers(keys.node_channels(node)) == {name.encode() for name in names}
    subscriptions.drop(one)
    await registry.flush()
    assert not await client.exists(keys.node_channels(node), *map(keys.channel, names))
    running.cancel()


async def test_nothing_to_tell_is_nothing_to_wait_for(client: Redis) -> None:
    async with asyncio.timeout(5):
        await Registry(client, new_id(), Subscriptions()).flush()
