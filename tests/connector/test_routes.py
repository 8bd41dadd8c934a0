"""Routes from annotations."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import orjson

from connector.routes import Route, Routes, RouteSource, build


def annotations(methods: str, **more: str) -> dict[str, str]:
    return {"topic": "stonechat", "stonechat.methods": methods} | more


def test_methods_public_ones_and_lanes() -> None:
    auth = annotations("auth.login, auth.logout") | {
        "stonechat.public": "auth.login",
        "stonechat.lanes": "8",
    }
    routes = build({"auth": auth}, Routes())
    assert routes.methods == {
        "auth.login": Route("auth", True, 8),
        "auth.logout": Route("auth", False, 8),
    }


def test_functions_of_others_are_none_of_our_business() -> None:
    functions = {
        "a": {"stonechat.methods": "a.b"},
        "c": {"topic": "cron", "stonechat.methods": "c.d"},
    }
    assert build(functions, Routes()).methods == {}


def test_functions_that_give_sessions_their_channels() -> None:
    group = annotations("group.create,session.channels")
    routes = build({"group": group, "team": annotations("session.channels")}, Routes())
    assert routes.channel_functions == ("group", "team")
    assert list(routes.methods) == ["group.create"]


def test_no_function_takes_a_method_of_the_connector() -> None:
    assert build({"evil": annotations("session.open,evil.do")}, Routes()).methods == {
        "evil.do": Route("evil", False)
    }


def test_who_has_a_method_keeps_it() -> None:
    first = build({"poll": annotations("poll.create")}, Routes())
    both = {"poll": annotations("poll.create"), "a-poll": annotations("poll.create")}
    assert build(both, first).methods["poll.create"].function == "poll"
    assert build(both, Routes()).methods["poll.create"].function == "a-poll"
    assert build({"a-poll": both["a-poll"]}, first).methods["poll.create"].function == "a-poll"


def test_events_that_functions_want() -> None:
    functions = {
        "presence": annotations("presence.get") | {"stonechat.events": "session.opened, a.b"},
        "poll": annotations("poll.create"),
    }
    assert build(functions, Routes()).events == {"presence": {"session.opened", "a.b"}}


@asynccontextmanager
async def source(file: Path) -> AsyncIterator[RouteSource]:
    """Routes of a file that is read once, unless somebody asks."""
    async with aiohttp.ClientSession() as http:
        routes = RouteSource(http, "http://127.0.0.1:9", None, file, interval=3600)
        running = asyncio.create_task(routes.run())
        try:
            async with asyncio.timeout(10):
                await routes.loaded.wait()
            yield routes
        finally:
            running.cancel()


async def found(routes: RouteSource, count: int) -> list[tuple[int, set[str]]]:
    """The methods that so many who ask at once see, in the order of their being called."""
    seen: list[tuple[int, set[str]]] = []
    done = asyncio.Event()

    def then(number: int) -> None:
        seen.append((number, set(routes.routes.methods)))
        if len(seen) == count:
            done.set()

    for number in range(count):
        routes.look_again(partial(then, number))
    async with asyncio.timeout(10):
        await done.wait()
    return seen


async def test_a_method_that_is_not_in_the_map_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_bytes(orjson.dumps({"send": annotations("message.send")}))
    async with source(file) as routes:
        for methods in ({"poll.create"}, {"poll.create", "poll.vote"}):
            file.write_bytes(orjson.dumps({"poll": annotations(",".join(methods))}))
            assert await found(routes, 3) == [(0, methods), (1, methods), (2, methods)]


async def test_who_looks_again_is_answered_where_the_source_fails(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_bytes(orjson.dumps({"send": annotations("message.send")}))
    async with source(file) as routes:
        file.write_text("not JSON")
        assert await found(routes, 1) == [(0, {"message.send"})]


async def test_only_so_many_wait_for_a_refresh(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_bytes(orjson.dumps({"send": annotations("message.send")}))
    async with source(file) as routes:
        seen = await found(routes, 1001)
        assert [number for number, _ in seen] == [1000, *range(1000)]
