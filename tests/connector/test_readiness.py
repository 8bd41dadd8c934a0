"""Whether a connector is ready, before a real Redis that comes and goes."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from connector.readiness import Readiness
from local.stack import Stack
from shared.settings import Settings, settings
from tests.proxy import Proxy

CONFIG = Settings(ready_timeout=0.2, ready_kept=0)


async def test_it_is_ready_while_redis_answers(stores: Stack) -> None:
    own: list[str] = []
    async with (
        Proxy(settings().redis_url) as proxy,
        Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client,
    ):
        readiness = Readiness(client, lambda: own, CONFIG)
        assert await readiness.missing() == []
        proxy.refusing = True
        proxy.cut()
        (line,) = await readiness.missing()
        assert line.startswith("Redis does not answer")
        own.append("no routes")
        assert await readiness.missing() == ["no routes", line]
        proxy.refusing = False
        assert await readiness.missing() == ["no routes"]


async def test_a_silent_redis_costs_a_probe_no_more_than_a_moment(stores: Stack) -> None:
    async with (
        Proxy(settings().redis_url) as proxy,
        Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client,
    ):
        proxy.delay = 3600
        readiness = Readiness(client, list, CONFIG)
        assert await readiness.missing() == ["Redis does not answer (TimeoutError)"]


async def test_what_was_found_holds_for_a_while(stores: Stack) -> None:
    async with Redis.from_url(settings().redis_url) as client:
        kept = CONFIG.model_copy(update={"ready_kept": 3600.0})
        readiness = Readiness(client, list, kept)
        before = int((await client.info("commandstats"))["cmdstat_ping"]["calls"])
        for _ in range(20):
            assert await readiness.missing() == []
        after = int((await client.info("commandstats"))["cmdstat_ping"]["calls"])
        assert after - before < 20  # others ping as well
