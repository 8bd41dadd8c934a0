"""Networks that break, delay and cut, and a bus that repeats, reorders and loses."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from local.stack import Stack
from shared import keys
from tests.crowd import Crowd
from tests.proxy import Proxy
from tests.system.faults.conftest import CLIENTS


@pytest.mark.timeout(180)
async def test_connections_break_in_every_way(
    fragile: Stack, name: str, seed: int, chance: random.Random
) -> None:
    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(Proxy(url)) for url in fragile.layout.connector_urls
        ]
        urls = [proxy.url for proxy in proxies]
        crowd = Crowd(urls, name, CLIENTS, seed=seed, pause=0.1)
        await stack.enter_async_context(crowd)
        for _ in range(8):
            proxy = chance.choice(proxies)
            match chance.choice(["cut", "half-close", "pieces", "delay", "refuse"]):
                case "cut":
                    proxy.cut()
                case "half-close":
                    proxy.half_close()
                case "pieces":
                    proxy.piece = chance.randint(1, 50)
                case "delay":
                    proxy.delay = chance.uniform(0.01, 0.3)
                case "refuse":
                    proxy.refusing = True
                    proxy.cut()
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            proxy.delay, proxy.piece, proxy.refusing = 0.0, 64 * 1024, False
            await crowd.until_acknowledged(50, seconds=15)
        assert await crowd.settle(in_order=False)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["repeats and reorders", "loses"])
async def test_the_bus_misbehaves(
    fragile: Stack, crowd: Crowd, chance: random.Random, kind: str
) -> None:
    client, stopping = Redis(port=fragile.layout.redis_port or 0), asyncio.Event()
    meddling = asyncio.create_task(meddle(client, chance, stopping, loses=kind == "loses"))
    try:
        await crowd.until_acknowledged(1500, seconds=60)
        assert not meddling.done()
    finally:
        stopping.set()
        await meddling
        await client.aclose()
    assert await crowd.settle(in_order=False)


async def meddle(
    client: Redis, chance: random.Random, stopping: asyncio.Event, *, loses: bool
) -> None:
    """Puts old entries of nodes' streams behind newer ones, or removes some unread."""
    old: dict[bytes, list[dict[bytes, bytes]]] = {}
    while not stopping.is_set():
        await asyncio.sleep(0.02)
        for node in await client.smembers(keys.NODES):
            stream = keys.node(node.decode())
            for number, fields in await client.xrange(stream, count=5):
                seen = old.setdefault(node, [])
                seen.append(fields)
                if loses and chance.random() < 0.05:
                    await client.xdel(stream, number)
                elif not loses and chance.random() < 0.5:
                    await client.xadd(stream, chance.choice(seen[-20:]))
