"""Reading a stream and what stands beside it, over both of Redis' protocols."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from connector.streams import read_beside
from local.stack import Stack
from shared.ids import new_id
from shared.settings import settings
from tests.proxy import Proxy


@pytest.mark.parametrize("protocol", [2, 3])
async def test_entries_come_with_what_is_beside_them(stores: Stack, protocol: int) -> None:
    key, other = f"test:{new_id()}", f"test:{new_id()}"
    async with Redis.from_url(settings().redis_url, protocol=protocol) as client:
        assert await read_beside(client, key, b"0-0", 10, 1, (other, key)) == ([], [None, None])
        ids = [await client.xadd(key, {"a": str(number), "b": "x"}) for number in range(3)]
        await client.set(other, "here")
        found, beside = await read_beside(client, key, b"0-0", 2, 1000, (other,))
        assert found == [(ids[n], {b"a": b"%d" % n, b"b": b"x"}) for n in range(2)]
        assert beside == [b"here"]
        found, _ = await read_beside(client, key, ids[1], 2, 1000, ())
        assert [each[0] for each in found] == ids[2:]
        await client.delete(key, other)


async def test_a_connection_that_failed_is_not_used_again(stores: Stack) -> None:
    """Whoever comes next gets its own answer, not one that was left."""
    key, other = f"test:{new_id()}", f"test:{new_id()}"
    async with Redis.from_url(settings().redis_url) as client:
        await client.set(key, "no stream")
        await client.set(other, "here")
        with pytest.raises(ResponseError):
            await read_beside(client, key, b"0-0", 10, 1, (other,))
        assert await client.ping()
        waiting = asyncio.create_task(read_beside(client, other + "s", b"0-0", 1, 60_000, (other,)))
        await asyncio.sleep(0)
        while not [each for each in await client.client_list() if each["cmd"] == "xread"]:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await client.get(other) == b"here"
        await client.delete(key, other)


async def test_a_cut_is_an_error_of_redis(stores: Stack) -> None:
    async with Proxy(settings().redis_url) as proxy, Redis.from_url(proxy.url) as client:
        await client.ping()
        waiting = asyncio.create_task(
            read_beside(client, f"test:{new_id()}", b"0-0", 1, 60_000, ())
        )
        while not [each for each in await client.client_list() if each["cmd"] == "xread"]:
            await asyncio.sleep(0.005)
        proxy.cut()
        with pytest.raises((RedisError, OSError)):
            await waiting
