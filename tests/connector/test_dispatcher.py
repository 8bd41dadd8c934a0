"""Events from a real Redis to real HTTP functions, and what happens when either fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from redis.asyncio import Redis

from connector.connector import _cancelled
from connector.dispatcher import Dispatcher
from connector.forwarder import Forwarder
from connector.routes import Routes
from local import ports
from local.stack import Stack
from shared import events, keys, secretfiles, signatures
from shared.errors import CallError, Reason
from shared.events import Happened
from shared.ids import new_id
from shared.settings import Settings

Outcome = CallError | int | None
QUICK = {"events_claim_after": 0.6, "events_attempts": 2}


class Listener:
    """A gateway with one function, which notes what it got. `outcome` says what becomes of an
    event; a number is the HTTP status of the whole batch."""

    def __init__(self) -> None:
        self.name = f"listener{new_id()}"
        private, public = secretfiles.signing_pair()
        self.signer, self.checker = signatures.Signer(private), signatures.Checker(public)
        self.type = f"type.{new_id()}"
        self.port = ports.free_port()
        self.batches: list[list[int]] = []
        self.outcome: Callable[[int], Outcome] = lambda number: None
        self.open = asyncio.Event()
        self.open.set()
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/function/{name}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, ports.LOOPBACK, self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.match_info["name"] == self.name
        body = await request.read()
        self.checker.check(self.name, request.headers[signatures.HEADER], body)
        batch = orjson.loads(body)
        assert {(each["kind"], each["type"]) for each in batch} == {("event", self.type)}
        numbers = [each["data"]["n"] for each in batch]
        async with self._news:
            self.batches.append(numbers)
            self._news.notify_all()
        await self.open.wait()
        lines = []
        for number in numbers:
            outcome = self.outcome(number)
            if isinstance(outcome, int):
                return web.Response(status=outcome)
            told: Any = {"result": None} if outcome is None else {"error": outcome.as_dict()}
            lines.append(orjson.dumps(told))
        return web.Response(body=b"\n".join(lines))

    @property
    def got(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    async def until(self, enough: Callable[[list[int]], bool]) -> list[int]:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: enough(self.got))
        return self.got

    def routes(self) -> Routes:
        return Routes(events={self.name: frozenset({self.type})})

    def events(self, *numbers: int) -> list[Happened]:
        return [Happened(self.type, {"n": number}) for number in numbers]


@pytest.fixture
async def client(stores: Stack) -> AsyncIterator[Redis]:
    made: Redis = Redis.from_url(Settings().redis_url)
    yield made
    await made.aclose()


@pytest.fixture
async def listener(client: Redis) -> AsyncIterator[Listener]:
    made = Listener()
    yield made
    with suppress(Exception):
        await client.xgroup_destroy(keys.EVENTS, made.name)


@asynccontextmanager
async def dispatching(
    client: Redis, listener: Listener, node: str = "", **more: Any
) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work, from when its group is there."""
    tasks: list[asyncio.Task[None]] = []

    def start(work: Any) -> None:
        tasks.append(asyncio.create_task(work))

    config = Settings(**(QUICK | more))
    async with aiohttp.ClientSession() as http:
        url = f"http://{ports.LOOPBACK}:{listener.port}"
        forwarder = Forwarder(
            http,
            url,
            node,
            listener.signer,
            listener.routes,
            timeout=5,
            retry_for=0,
            answer_limit=100_000,
        )
        made = Dispatcher(
            keys.EVENTS, client, node or new_id(), forwarder, listener.routes, start, config
        )
        start(made.run())
        start(made.tend())
        try:
            await until(lambda: in_group(client, listener))
            yield made
        finally:
            await _cancelled(tasks)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


async def group(client: Redis, listener: Listener) -> dict[str, Any] | None:
    with suppress(Exception):
        for each in await client.xinfo_groups(keys.EVENTS):
            if each["name"] == listener.name.encode():
                return dict(each)
    return None


async def in_group(client: Redis, listener: Listener) -> bool:
    return await group(client, listener) is not None


async def emit(client: Redis, batch: list[Happened]) -> None:
    await client.xadd(keys.EVENTS, events.fields(batch))


async def settled(client: Redis, listener: Listener) -> bool:
    found = await group(client, listener)
    return found is not None and found["pending"] == 0 and found["lag"] == 0


async def test_a_subscriber_gets_its_types_in_batches_from_now_on(
    client: Redis, listener: Listener
) -> None:
    await emit(client, listener.events(0))
    async with listener.serving(), dispatching(client, listener):
        await emit(client, [*listener.events(1, 2), Happened("other", {}), *listener.events(3)])
        await emit(client, [Happened("other", {})])
        await listener.until(lambda got: len(got) == 3)
        await until(lambda: settled(client, listener))
        assert listener.batches == [[1, 2, 3]]


async def test_what_comes_while_a_batch_is_under_way_is_the_next(
    client: Redis, listener: Listener
) -> None:
    async with listener.serving(), dispatching(client, listener):
        listener.open.clear()
        await emit(client, listener.events(0))
        await listener.until(lambda got: got == [0])
        for number in range(1, 101):
            await emit(client, listener.events(number))
        await until(lambda: read_all(client, listener))
        listener.open.set()
        await listener.until(lambda got: len(got) == 101)
        assert listener.batches == [[0], list(range(1, 101))]


async def read_all(client: Redis, listener: Listener) -> bool:
    found = await group(client, listener)
    return found is not None and found["lag"] == 0


async def test_who_asks_for_an_event_again_gets_it_again(client: Redis, listener: Listener) -> None:
    again = CallError(Reason.UNAVAILABLE, retry_after=0.05)
    listener.outcome = lambda number: again if listener.got.count(number) < number else None
    async with listener.serving(), dispatching(client, listener):
        await emit(client, listener.events(1, 4, 9))
        await until(lambda: settled(client, listener))
        assert [listener.got.count(number) for number in (1, 4, 9)] == [1, 4, 9]
    assert await client.xlen(keys.events_dead(listener.name)) == 0


@pytest.mark.parametrize("failure", [CallError(Reason.INTERNAL), 500, 502])
async def test_what_fails_is_tried_alone_and_put_aside_in_the_end(
    client: Redis, listener: Listener, failure: Outcome
) -> None:
    listener.outcome = lambda number: failure if number == 2 else None
    async with listener.serving(), dispatching(client, listener):
        await emit(client, listener.events(1, 2, 3))
        await until(lambda: settled(client, listener))
    assert listener.batches[0] == [1, 2, 3]
    assert [2] in listener.batches[1:]
    assert listener.got.count(2) == 2
    [(_, fields)] = await client.xrange(keys.events_dead(listener.name))
    assert [each.data["n"] for each in events.parse(fields)] == [2]
    assert fields[b"error"]
    await client.delete(keys.events_dead(listener.name))


async def test_a_gateway_that_is_away_costs_no_try(client: Redis, listener: Listener) -> None:
    async with dispatching(client, listener) as dispatcher:
        await emit(client, listener.events(1, 2))
        subscriber = dispatcher._subscribers[listener.name]
        async with asyncio.timeout(10):
            while subscriber._backoff._tries < 4:
                await asyncio.sleep(0.02)
        async with listener.serving():
            await listener.until(lambda got: sorted(got) == [1, 2])
            await until(lambda: settled(client, listener))
    assert await client.xlen(keys.events_dead(listener.name)) == 0


async def test_what_a_dead_connector_had_read_is_taken_over(
    client: Redis, listener: Listener
) -> None:
    async with listener.serving():
        listener.open.clear()
        async with dispatching(client, listener, "deadnode"):
            await emit(client, listener.events(1, 2))
            await listener.until(lambda got: got == [1, 2])
        listener.open.set()
        async with dispatching(client, listener, "heir"):
            await listener.until(lambda got: got == [1, 2, 1, 2])
            await until(lambda: settled(client, listener))

            async def heir_alone() -> bool:
                consumers = await client.xinfo_consumers(keys.EVENTS, listener.name)
                return {each["name"] for each in consumers} == {b"heir"}

            await until(heir_alone)


async def test_what_a_living_connector_holds_stays_its_own(
    client: Redis, listener: Listener
) -> None:
    again = CallError(Reason.UNAVAILABLE, retry_after=2.5)  # four times the time to take over
    listener.outcome = lambda number: again if len(listener.batches) == 1 else None
    async with (
        listener.serving(),
        dispatching(client, listener, "one"),
        dispatching(client, listener, "other"),
    ):
        await emit(client, listener.events(1))
        await until(lambda: settled(client, listener))
        assert listener.batches == [[1], [1]]


async def test_a_group_that_redis_lost_is_made_again_and_misses_nothing(
    client: Redis, listener: Listener
) -> None:
    async with listener.serving(), dispatching(client, listener):
        await emit(client, listener.events(1))
        await until(lambda: settled(client, listener))
        await client.xgroup_destroy(keys.EVENTS, listener.name)
        await emit(client, listener.events(2))
        await listener.until(lambda got: 2 in got)
        await until(lambda: settled(client, listener))


async def test_a_slow_subscriber_is_read_for_up_to_a_bound(
    client: Redis, listener: Listener
) -> None:
    async with listener.serving(), dispatching(client, listener, events_held=30) as dispatcher:
        listener.open.clear()
        for number in range(200):
            await emit(client, listener.events(number))
        backlog = dispatcher._subscribers[listener.name].backlog
        async with asyncio.timeout(10):
            while len(backlog) < 30:
                await asyncio.sleep(0.02)
        assert len(backlog) < 30 + 20
        found = await group(client, listener)
        assert found is not None
        assert found["lag"] >= 150
        listener.open.set()
        await listener.until(lambda got: len(got) == 200)
        assert listener.got == list(range(200))


async def test_a_function_that_wants_no_more_events_gets_none(
    client: Redis, listener: Listener
) -> None:
    async with listener.serving(), dispatching(client, listener) as dispatcher:
        dispatcher._routes = Routes

        async def stopped() -> bool:
            return not dispatcher._subscribers

        await until(stopped)
        await emit(client, listener.events(1))
        found = await group(client, listener)
        assert found is not None
        assert found["lag"] == 1
        assert listener.got == []
