"""Routes from annotations."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from connector.routes import (
    ChannelSource,
    Hook,
    Route,
    Routes,
    RouteSource,
    annotations_of,
    build,
)
from local import ports


def annotations(methods: str, **more: str) -> dict[str, str]:
    return {"topic": "stonechat", "stonechat.methods": methods} | more


def test_methods_public_ones_and_bounds_of_batches() -> None:
    auth = annotations("auth.login, auth.logout") | {
        "stonechat.public": "auth.login",
        "stonechat.lanes": "8",
        "stonechat.batch": "20",
        "stonechat.share": "2",
    }
    routes = build({"auth": auth}, Routes())
    assert routes.methods == {
        "auth.login": Route("auth", True, 8, 20, 2),
        "auth.logout": Route("auth", False, 8, 20, 2),
    }


def test_methods_that_only_read_are_ones_own() -> None:
    functions = {
        "group": annotations("group.get,group.update,session.channels")
        | {"stonechat.reads": "group.get, session.channels"},
        "poll": annotations("poll.get") | {"stonechat.reads": "poll.get,group.update,poll.none"},
    }
    assert build(functions, Routes()).reads == {"group.get", "session.channels", "poll.get"}


def test_functions_of_others_are_none_of_our_business() -> None:
    functions = {
        "a": {"stonechat.methods": "a.b"},
        "c": {"topic": "cron", "stonechat.methods": "c.d"},
    }
    assert build(functions, Routes()).methods == {}


def test_functions_that_give_sessions_their_channels() -> None:
    group = annotations("group.create,session.channels") | {"stonechat.channels.policy": "refuse"}
    team = annotations("session.channels") | {"stonechat.channels.budget": "250"}
    routes = build({"group": group, "team": team}, Routes())
    assert routes.channel_sources == (
        ChannelSource("group", refuses=True, budget=1.0),
        ChannelSource("team", refuses=False, budget=0.25),
    )
    assert list(routes.methods) == ["group.create"]


def test_no_function_takes_a_method_of_the_connector() -> None:
    assert build({"evil": annotations("session.open,evil.do")}, Routes()).methods == {
        "evil.do": Route("evil", False)
    }


@pytest.mark.parametrize(
    ("method", "owner"),
    [
        ("message.search", "sync"),
        ("message.pin", "send"),
        ("conversation.export", "sync"),
        ("account.delete", "auth"),
        ("role.grant", "admin"),
        ("hold.place", "audit"),
        ("call.start", "call"),
    ],
)
def test_nobody_takes_a_noun_of_a_shipped_function(method: str, owner: str) -> None:
    thief = {"a-thief": annotations(f"{method},thief.{method}")}
    assert set(build(thief, Routes()).methods) == {f"thief.{method}"}
    both = thief | {owner: annotations(method)}
    assert build(both, Routes()).methods[method].function == owner
    # Not even where it had the method before.
    had = Routes(methods={method: Route("a-thief", False)})
    assert build(both, had).methods[method].function == owner


@pytest.mark.parametrize(
    "name",
    ["", "noun", ".", "a.", ".b", "a..b", "a b.c", "a.\nb", "é.b", "a.b/c", "a." + "b" * 99, "²._"],
)
def test_names_that_are_no_methods_are_left_out(name: str) -> None:
    found = build({"poll": annotations(f"poll.create,{name}")}, Routes())
    assert set(found.methods) == {"poll.create"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        (" 7 ", 7),
        ("64", 64),
        ("65", 64),
        ("999999999", 64),
        ("9999999999", None),
        ("9" * 5000, None),
        *[(text, None) for text in ("", "0", "-1", "+1", "1.5", "1e1", "²", "٣", "0x1", "none")],
    ],
)
def test_a_number_of_lanes_makes_sense_or_is_none(text: str, number: int | None) -> None:
    poll = annotations("poll.create") | {"stonechat.lanes": text}
    assert build({"poll": poll}, Routes()).methods["poll.create"].lanes == number


@pytest.mark.parametrize("policy", ["", "Pass", "REFUSE", "none", "pass,refuse"])
def test_policies_that_are_none_are_the_usual_ones(policy: str) -> None:
    team = annotations("session.channels") | {
        "stonechat.before": "message.send",
        "stonechat.before.policy": policy,
        "stonechat.channels.policy": policy,
        "stonechat.before.budget": "nonsense",
        "stonechat.channels.budget": "10000000",
    }
    routes = build({"team": team}, Routes())
    assert routes.hooks == {"message.send": (Hook("team", refuses=True, budget=0.3),)}
    assert routes.channel_sources == (ChannelSource("team", refuses=False, budget=5.0),)


NONSENSE = [5, 1.5, True, "text", [], ["topic"], {"topic": None}, {"topic": 5}, {"topic": []}]


@pytest.mark.parametrize("annotations_", NONSENSE, ids=str)
def test_a_function_whose_annotations_are_nonsense_is_left_out_alone(annotations_: Any) -> None:
    good = annotations("poll.create")
    found = annotations_of({"odd": annotations_, "bare": None, "poll": good})
    assert found == {"poll": good, "bare": {}}
    assert set(build(found, Routes()).methods) == {"poll.create"}


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "é", "-a", "x" * 101, "a\n"])
def test_a_function_whose_name_is_none_is_left_out_alone(name: str) -> None:
    good = annotations("poll.create")
    assert annotations_of({name: good, "poll": good}) == {"poll": good}


@pytest.mark.parametrize("functions", [None, 5, "x", [], [1], {"odd": 5}, {"a/b": {}}])
def test_what_names_no_function_is_no_map(functions: Any) -> None:
    with pytest.raises(ValueError, match="no function"):
        annotations_of(functions)


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
async def source(file: Path | None, url: str = "") -> AsyncIterator[RouteSource]:
    """Routes of a file or a gateway, which is read once, unless somebody asks."""
    async with aiohttp.ClientSession() as http:
        routes = RouteSource(http, url or "http://127.0.0.1:9", None, file, interval=3600)
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


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"5", b"[]", b"<html>busy</html>", b'{"odd": 5}', b"[" * 2000, b"\xff", b'"x"'],
)
async def test_a_source_of_nonsense_changes_nothing(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "routes.json"
    file.write_bytes(orjson.dumps({"send": annotations("message.send")}))
    async with source(file) as routes:
        file.write_bytes(text)
        assert await found(routes, 1) == [(0, {"message.send"})]
        file.write_bytes(orjson.dumps({"poll": annotations("poll.create"), "odd": None}))
        assert await found(routes, 1) == [(0, {"poll.create"})]


class Gateway:
    """One that lists functions as it is told."""

    def __init__(self) -> None:
        self.said: tuple[int, bytes] = (200, b"[]")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async def functions(request: web.Request) -> web.Response:
            status, text = self.said
            return web.Response(status=status, body=text)

        app = web.Application()
        app.router.add_get("/system/functions", functions)
        runner, port = web.AppRunner(app), ports.free_port()
        await runner.setup()
        await web.TCPSite(runner, ports.LOOPBACK, port).start()
        try:
            yield f"http://{ports.LOOPBACK}:{port}"
        finally:
            await runner.cleanup()


def listed(**functions: Any) -> bytes:
    return orjson.dumps([{"name": name, "annotations": each} for name, each in functions.items()])


@pytest.mark.parametrize(
    "said",
    [
        (200, b""),
        (200, b"null"),
        (200, b"{}"),
        (200, b'{"functions": []}'),
        (200, b"<html>busy</html>"),
        (200, listed(odd=5)),
        (200, b"[" + b" " * 9_000_000 + b"]"),
        (401, b"[]"),
        (404, b"no"),
        (500, listed(poll=annotations("poll.create"))),
        (302, b""),
    ],
    ids=lambda said: f"{said[0]} {said[1][:20]!r}",
)
async def test_a_gateway_that_answers_nonsense_changes_nothing(said: tuple[int, bytes]) -> None:
    gateway = Gateway()
    gateway.said = 200, listed(send=annotations("message.send"))
    async with gateway.serving() as url, source(None, url) as routes:
        gateway.said = said
        assert await found(routes, 1) == [(0, {"message.send"})]
        odd = [1, None, "x", {}, {"name": 5}, {"name": "a b", "annotations": {}}]
        gateway.said = 200, orjson.dumps(odd + orjson.loads(listed(poll=annotations("poll.a"))))
        assert await found(routes, 1) == [(0, {"poll.a"})]


async def test_a_gateway_without_functions_has_none() -> None:
    gateway = Gateway()
    gateway.said = 200, listed(send=annotations("message.send"))
    async with gateway.serving() as url, source(None, url) as routes:
        gateway.said = 200, b"[]"
        assert await found(routes, 1) == [(0, set())]


async def test_only_so_many_wait_for_a_refresh(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_bytes(orjson.dumps({"send": annotations("message.send")}))
    async with source(file) as routes:
        seen = await found(routes, 1001)
        assert [number for number, _ in seen] == [1000, *range(1000)]
