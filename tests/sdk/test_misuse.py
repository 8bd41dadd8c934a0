"""What goes wrong on the first day says what it is."""

import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import stonechat
from stonechat import Client, Disconnected, NotSignedIn, Unauthenticated

from local.layout import ROOT
from local.stack import Stack
from tests.sdk.odd_server import OddServer
from tests.sdk.test_frames import signed_in
from tests.wire import PASSWORD


def test_the_version_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "sdk/python/pyproject.toml").read_text())["project"]
    assert stonechat.__version__ == project["version"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:8001/v1", "say ws:// for http://"),
        ("https://chat.example/v1", "say wss:// for https://"),
        ("127.0.0.1:8001", "is given like ws://127.0.0.1:8001/v1"),
        ("chat.example", "is given like ws://127.0.0.1:8001/v1"),
        ("", "is given like ws://127.0.0.1:8001/v1"),
        ("ws://", "is given like ws://127.0.0.1:8001/v1"),
        ("ws://127.0.0.1:99999/v1", "is no address"),
        ("ws://[::1/v1", "is no address"),
        ("ws://127.0.0.1:8001", "connectors answer at /v1"),
        ("ws://127.0.0.1:8001/", "connectors answer at /v1"),
        (["ws://127.0.0.1:8001/v1", "tcp://127.0.0.1/v1"], "is given like"),
        ([], "no url"),
    ],
)
def test_a_wrong_address_is_told_at_once(url: str | list[str], says: str) -> None:
    with pytest.raises(ValueError, match=r"url|address|path") as told:
        Client(url)
    assert says in str(told.value)


async def test_an_address_where_no_connector_is_is_told(stack: Stack) -> None:
    gateway = stack.layout.gateway_url.replace("http://", "ws://") + "/v1"
    wrong_path = stack.layout.connector_urls[0] + "x"
    for url in ("ws://127.0.0.1:9/v1", "ws://nobody.invalid/v1", gateway, wrong_path):
        async with Client(url) as client:
            with pytest.raises(OSError, match=r"cannot be reached|is no connector") as told:
                await client.login("alice", PASSWORD)
            assert url in str(told.value)


CALLS: list[Callable[[Client], Awaitable[Any]]] = [
    lambda client: client.send(to="bob00000", text="x"),
    lambda client: client.call("any.method"),
    lambda client: client.groups.list(),
    lambda client: anext(client.entries()),
    lambda client: anext(client.signals()),
    lambda client: client.handle(client.typing),  # type: ignore[arg-type]
]


@pytest.fixture
async def server() -> AsyncIterator[OddServer]:
    async with OddServer() as made:
        yield made


@pytest.mark.parametrize("number", range(len(CALLS)))
async def test_before_signing_in_and_after_closing_nothing_waits(
    number: int, server: OddServer
) -> None:
    call = CALLS[number]
    async with Client(server.url) as client:
        with pytest.raises(NotSignedIn, match="`register`, `login` or `resume` first"):
            await call(client)
        assert not await client.resume()
        with pytest.raises(NotSignedIn):
            await call(client)
        await client.register("alice", PASSWORD)
    with pytest.raises(Disconnected, match="the client was closed"):
        await call(client)


async def test_signing_in_twice_or_after_closing_is_told(server: OddServer) -> None:
    async with await signed_in(server) as client:
        for again in (client.login("a", PASSWORD), client.resume(), client.register("a", PASSWORD)):
            with pytest.raises(RuntimeError, match="is signed in already"):
                await again
    for again in (client.login("a", PASSWORD), client.resume()):
        with pytest.raises(Disconnected, match="the client was closed"):
            await again


async def test_messages_without_an_address_or_a_content_are_told(server: OddServer) -> None:
    async with await signed_in(server) as client:
        for where in ({}, {"conv": "d:a:b", "to": "bob00000"}):
            with pytest.raises(ValueError, match="either conv or to"):
                await client.send(text="x", **where)
            with pytest.raises(ValueError, match="either conv or to"):
                await client.forward("d:a:b", 1, **where)
        for what in ({}, {"text": "x", "body": {"text": "x"}}):
            with pytest.raises(ValueError, match="either text or body"):
                await client.send(to="bob00000", **what)
            with pytest.raises(ValueError, match="either text or body"):
                await client.edit("d:a:b", 1, **what)
        with pytest.raises(ValueError, match="either after or before"):
            await client.history("d:a:b", after=1, before=2)
        assert server.calls("message.send") == 0


async def test_how_one_may_sign_in_is_known_before(stack: Stack, name: str) -> None:
    async with Client(stack.layout.connector_urls[0]) as client:
        config = await client.config()
        assert (config.registration, config.sign_in) == ("open", ("password",))
        with pytest.raises(Unauthenticated):
            await client.login(name, PASSWORD)
        await client.register(name, "x" * config.password_min)
        await client.renew()
        profile = await client.users.update(name="Alice", about="at sea")
        assert (profile.username, profile.name, profile.about) == (name, "Alice", "at sea")
        found = await client.find(name.upper())
        assert found is not None
        assert (found.uid, found.name) == (client.uid, "Alice")
