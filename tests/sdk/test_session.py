"""One session over connections that break at the worst moments, with the real system."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from stonechat.comparison import Comparison
from stonechat.connection import Connection
from stonechat.errors import SignedOut
from stonechat.session import Opened, Session
from stonechat.state import MemoryState, State

from local.stack import Stack
from shared import secretfiles
from shared.settings import settings
from shared.tokens import ACCESS
from tests.proxy import Proxy
from tests.wire import PASSWORD

DEAD = "ws://127.0.0.1:9/v1"  # the discard port, where nothing listens


class Watched:
    """A session, and what it told."""

    def __init__(
        self, urls: list[str], state: State | None = None, opened: Callable[[], None] = lambda: None
    ) -> None:
        self.lasts: asyncio.Queue[Comparison] = asyncio.Queue()
        self.openings = 0
        self.losses = 0
        self._on_open = opened
        self.state = state or MemoryState()
        self.session = Session(
            urls,
            self.state,
            "test",
            itertools.count(1),
            receive=lambda message: None,
            opened=self._opened,
            lost=self._lost,
            listed=self.lasts.put_nowait,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.session.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def listed(self, seconds: float = 8) -> Comparison:
        """Soon, and sooner than a call that is given up."""
        return await asyncio.wait_for(self.lasts.get(), seconds)

    def _opened(self, connection: Connection, found: Opened) -> None:
        self.openings += 1
        self._on_open()

    def _lost(self) -> None:
        self.losses += 1


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.layout.connector_urls[0]


async def registered(watched: Watched, name: str) -> None:
    await watched.session.sign_in("auth.register", {"username": name, "password": PASSWORD})


async def test_a_cut_between_opening_and_comparing_is_noticed_at_once(url: str, name: str) -> None:
    async with Proxy(url) as proxy:
        cuts = iter([proxy.cut, proxy.cut])
        watched = Watched([proxy.url], opened=lambda: next(cuts, lambda: None)())
        await registered(watched, name)
        async with watched.running():
            await watched.listed()
    assert (watched.openings, watched.losses) == (3, 3)


class Cutting(MemoryState):
    """Cuts the connection when the first session is about to be opened on it."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._cuts = iter([proxy.cut])

    def get(self, name: str) -> Any:
        if name == "tokens":
            next(self._cuts, lambda: None)()
        return super().get(name)


async def test_a_cut_while_a_session_is_opened_is_noticed_at_once(url: str, name: str) -> None:
    async with Proxy(url) as proxy:
        watched = Watched([proxy.url], Cutting(proxy))
        await registered(watched, name)
        async with watched.running():
            await watched.listed()
    assert watched.openings == 1


async def test_servers_that_are_down_are_passed_over(url: str, name: str) -> None:
    watched = Watched([DEAD, url, DEAD])
    await registered(watched, name)
    async with watched.running():
        await watched.listed()
    assert watched.openings == 1


async def test_a_wrong_clock_does_not_change_when_a_session_ends(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (-3600.0, 3600.0):
        monkeypatch.setattr(
            "stonechat.session.time.time", lambda by=wrong, now=time.time: now() + by
        )
        watched = Watched([url])
        await registered(watched, f"{name}{int(wrong):x}")
        async with watched.running():
            await watched.listed()
            assert 600 < watched.session.left <= 900
        monkeypatch.undo()


async def test_a_token_that_ran_out_is_refreshed(url: str, name: str) -> None:
    watched = Watched([url])
    await registered(watched, name)
    tokens = watched.state.get("tokens")
    watched.state.put("tokens", tokens | {"access_token": "spoilt"})
    async with watched.running():
        await watched.listed()
    fresh = watched.state.get("tokens")
    assert fresh["refresh_token"] != tokens["refresh_token"]
    watched.state.put("tokens", fresh | {"expires": 0})
    async with watched.running():
        await watched.listed()
    assert watched.state.get("tokens")["refresh_token"] != fresh["refresh_token"]


async def test_a_device_whose_tokens_are_dead_is_signed_out(url: str, name: str) -> None:
    watched = Watched([url])
    await registered(watched, name)
    tokens = watched.state.get("tokens")
    spoilt = {"access_token": "spoilt", "refresh_token": "spoilt"}
    watched.state.put("tokens", tokens | spoilt)
    async with watched.running() as task:
        with pytest.raises(SignedOut):
            await asyncio.wait_for(task, 10)
    assert watched.state.get("tokens") is None


class Counting(MemoryState):
    """Tells when the tokens were asked for some times: a try to open a session asks once."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = asyncio.Event()
        self._tries = 0

    def get(self, name: str) -> Any:
        self._tries += name == "tokens"
        if self._tries == 5:
            self.tried.set()
        return super().get(name)


async def test_a_server_whose_clock_is_wrong_costs_no_tokens(url: str, name: str) -> None:
    watched = Watched([url], state := Counting())
    await registered(watched, name)
    tokens = watched.state.get("tokens")
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    key = secretfiles.read(settings().secrets_dir, secretfiles.SIGNING_KEY)
    future = {"iat": claims["iat"] + 3600, "exp": claims["exp"] + 3600}
    early = jwt.encode(claims | future, key, algorithm="EdDSA", headers={"typ": ACCESS})
    watched.state.put("tokens", tokens | {"access_token": early})
    async with watched.running():
        await asyncio.wait_for(state.tried.wait(), 20)
        assert watched.openings == 0
        assert state.get("tokens")["refresh_token"] == tokens["refresh_token"]
        watched.state.put("tokens", tokens)
        await watched.listed(20)


async def test_another_account_does_not_inherit(url: str, name: str) -> None:
    watched = Watched([url])
    await registered(watched, name + "a")
    watched.state.begin({"d:a:b": 3})
    watched.state.put("device", "d1")
    await registered(watched, name + "b")
    assert watched.state.lasts() == {}
    assert watched.state.get("device") == "d1"
