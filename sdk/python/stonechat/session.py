"""A device's session with the server, over any number of connections."""

import asyncio
import itertools
import logging
import platform
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from stonechat import errors, patience, shape
from stonechat.backoff import Backoff
from stonechat.calls import Limits
from stonechat.comparison import Comparison
from stonechat.connection import Connection, checked, connect
from stonechat.errors import BadAnswer, Disconnected, SignedOut, StonechatError
from stonechat.frames import Frames, Message
from stonechat.state import State

GOING_AWAY = 1001
TOO_LARGE = 1009
ABUSE = 4003

_RENEW_BEFORE = 60.0  # seconds before the token expires
_LEAST_PAUSE = 1.0  # seconds between two renewals, whatever the server says of its tokens
_EXPIRED = 5.0  # a token that lives no longer than this is not worth presenting
_COMPARE_SECONDS = 180.0  # between two comparisons with the server's list
_LOOK_SECONDS = 0.1  # between a reason to compare and doing it: there may be more
_LONGEST_PAUSE = 86_400.0  # seconds; a session that lasts longer is renewed all the same
_STABLE_SECONDS = 5.0  # a session that lasted as long was a good one

# What the next try may not meet. An access token is no more than a try: refreshing is what decides.
_PASSING = (OSError, errors.TryAgain, errors.TooFast, errors.Internal, errors.Unauthenticated)

logger = logging.getLogger("stonechat")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What signing in and refreshing give. `expires_in` is seconds."""

    uid: str
    access_token: str
    refresh_token: str
    expires_in: int = 900

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session. Times are UTC milliseconds."""

    uid: str
    expires_at: int | None = None
    server_time: int | None = None
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Renewed:
    """Until when a session lives now (UTC milliseconds)."""

    expires_at: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Session:
    """Signs in, keeps one session open while `run` runs, and renews it. Calls four functions:
    `receive` with each message that is no answer to a call of the session's own, `opened` with the
    connection and the result of `session.open`, `lost` when that connection is gone, `listed` with
    what a comparison found, after each opening and now and then."""

    def __init__(
        self,
        urls: Sequence[str],
        state: State,
        device: str,
        numbers: Iterator[int],
        *,
        receive: Callable[[Message], None],
        opened: Callable[[Connection, Opened], None],
        lost: Callable[[], None],
        listed: Callable[[Comparison], None],
    ) -> None:
        self.connection: Connection | None = None
        self.advanced = time.monotonic()  # when opening it and comparing got further
        self.trouble = ""  # why there was no session last
        self.frames = Frames(self._received)
        self._urls = [checked(url) for url in urls]
        if not self._urls:
            raise ValueError("no url of a connector is given")
        self._next_url = itertools.cycle(self._urls)
        self._state = state
        self._device = device
        self._numbers = numbers
        self._receive = receive
        self._opened = opened
        self._lost = lost
        self._listed = listed
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._compare_now = asyncio.Event()
        self._compared: int | None = None  # up to when, by the server's clock
        self._comparison: Comparison | None = None  # that is under way
        self._clock_error = 0.0  # the server's clock is so many seconds ahead of ours
        self._expires = 0.0  # by our clock
        self._refreshing = asyncio.Lock()  # two at once would spend each other's token

    async def sign_in(self, method: str, params: dict[str, Any]) -> None:
        """Gets tokens. Raises `StonechatError`, and `OSError` where no server can be reached."""
        self._keep_tokens(await self.ask(method, params))

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Calls a public method, on a connection of its own. Raises as `sign_in` does."""
        connection = await self._reach()
        try:
            return await self._call(connection, method, params)
        finally:
            connection.close()

    async def run(self) -> None:
        """Never returns. Raises `SignedOut` where the device's tokens are no longer taken, and
        `Disconnected` where the server refuses what this client sends."""
        backoff = Backoff()
        while True:
            code, began = None, time.monotonic()
            try:
                connection = await self._reach()
                try:
                    await self._open(connection)
                    began = time.monotonic()
                    await self._attend(connection)
                    code = connection.close_code
                finally:
                    if self.connection is not None:
                        self.connection = None
                        self._lost()
                    connection.close()
            except SignedOut:
                raise
            except _PASSING as error:
                self.trouble = str(error)  # the next try is below
            if code in (ABUSE, TOO_LARGE):
                raise Disconnected(f"the server refused this client's frames (close code {code})")
            if time.monotonic() - began >= _STABLE_SECONDS:
                backoff.reset()
                if code == GOING_AWAY:
                    continue
            await asyncio.sleep(backoff.next())

    @property
    def left(self) -> float:
        """Seconds until the session ends, unless it is renewed; whatever our clock shows."""
        return self._expires - time.time()

    def compare(self) -> None:
        """Compares with the server's whole list, soon."""
        self._compared = None
        self._compare_now.set()

    def look(self) -> None:
        """Compares with what has changed in the server's list, soon."""
        self._compare_now.set()

    async def renew(self) -> None:
        """Gets new tokens and has the open session go on with them. Raises `SignedOut`,
        `StonechatError`, and `Disconnected` where there is no session."""
        connection = self.connection
        if connection is None:
            raise Disconnected("there is no session at this moment")
        token = (await self._refresh(connection))["access_token"]
        found = await self._call(connection, "session.renew", {"access_token": token})
        self._expires = Renewed.parse(found).expires_at / 1000 - self._clock_error

    def _received(self, message: Message) -> None:
        """What came on any connection."""
        number = message.get("id")
        answer = self._answers.get(number) if type(number) is int else None
        if answer is None or "method" in message:
            self._receive(message)
        elif not answer.done():
            answer.set_result(message)

    async def _reach(self) -> Connection:
        """A connection to the next server that takes one. Raises the last one's `OSError`."""
        for left in reversed(range(len(self._urls))):
            try:
                return await connect(next(self._next_url), self.frames.received)
            except OSError:
                if not left:
                    raise
        raise AssertionError("there is a url")

    async def _open(self, connection: Connection) -> None:
        tokens = self._state.get("tokens")
        if tokens["expires"] - time.time() < _EXPIRED:
            tokens = await self._refresh(connection)
        params = {"access_token": tokens["access_token"], "device": self._described()}
        try:
            found = await self._call(connection, "session.open", params)
        except errors.Unauthenticated:
            params["access_token"] = (await self._refresh(connection))["access_token"]
            found = await self._call(connection, "session.open", params)
        opened = Opened.parse(found)
        if opened.server_time is not None:
            self._clock_error = opened.server_time / 1000 - time.time()
        self._expires = self._state.get("tokens")["expires"]
        if opened.expires_at is not None:
            self._expires = opened.expires_at / 1000 - self._clock_error
        self.connection = connection
        self.advanced = time.monotonic()
        self._opened(connection, opened)

    async def _attend(self, connection: Connection) -> None:
        """Does what an open session needs until its connection is closed."""
        work: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stay()),
            asyncio.create_task(self._compare()),
            asyncio.create_task(connection.closed.wait()),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
        if not connection.closed.is_set():
            for task in done:
                task.result()

    async def _stay(self) -> None:
        """Keeps the session alive. Raises `SignedOut`."""
        backoff = Backoff(base=1.0)
        while True:
            left = self.left
            early = min(_RENEW_BEFORE, left / 2)
            pause = (left - early) * random.uniform(0.9, 1)  # noqa: S311
            await asyncio.sleep(min(max(pause, _LEAST_PAUSE), _LONGEST_PAUSE))
            try:
                await self.renew()
                backoff.reset()
            except SignedOut:
                raise
            except (StonechatError, OSError):
                await asyncio.sleep(backoff.next())

    async def _compare(self) -> None:
        """After each opening, where the server says so, and now and then as the last net."""
        backoff = Backoff()
        if self._comparison is not None:
            self._comparison.interrupted()
        while self.connection is not None:
            if self._comparison is None:
                self._compare_now.clear()
                self._comparison = Comparison(self._compared)
            comparison = self._comparison
            try:
                page = await self._call(self.connection, "conversation.list", comparison.params)
            except errors.InvalidParams:
                self._comparison = None  # it began on a server that counted differently
                await asyncio.sleep(backoff.next())
                continue
            except (StonechatError, OSError):
                await asyncio.sleep(backoff.next())
                continue
            try:
                whole = comparison.take(page)
            except BadAnswer as error:
                logger.warning("the list of conversations: %s", error)
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            self.advanced = time.monotonic()
            if not whole:
                continue
            self._comparison = None
            if not self._compare_now.is_set():
                self._compared = comparison.now
            self._listed(comparison)
            with suppress(TimeoutError):
                pause = _COMPARE_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311
                async with asyncio.timeout(pause):
                    await self._compare_now.wait()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _refresh(self, connection: Connection) -> dict[str, Any]:
        """New tokens. Raises `SignedOut` where the refresh token is no longer taken: then alone are
        the tokens forgotten, since an access token may be refused for a clock that is wrong."""
        async with self._refreshing:
            spent = {"refresh_token": self._state.get("tokens")["refresh_token"]}
            try:
                found = await self._call(connection, "auth.refresh", spent)
            except errors.Unauthenticated as error:
                self._state.put("tokens", None)
                raise SignedOut(str(error)) from error
            return self._keep_tokens(found)

    async def _call(self, connection: Connection, method: str, params: dict[str, Any]) -> Any:
        """A call that belongs to this connection and is not repeated on another. Raises
        `StonechatError`, and `OSError` where there is no answer."""
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        closed = asyncio.create_task(connection.closed.wait())
        both: list[asyncio.Future[Any]] = [answer, closed]
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            connection.send(orjson.dumps(request))
            await self._answered(connection, both)
            if not answer.done():
                raise Disconnected(f"no answer to {method}")
        finally:
            closed.cancel()
            del self._answers[number]
        return errors.result(answer.result())

    async def _answered(self, connection: Connection, either: list[asyncio.Future[Any]]) -> None:
        """Waits for one of the two: a slow line gets more time for as long as something comes."""
        asked = time.monotonic()
        while True:
            quiet_until = max(asked, connection.heard) + patience.SESSION_ANSWER
            left = min(quiet_until, asked + patience.LONGEST_SESSION_ANSWER) - time.monotonic()
            if left <= 0:
                return
            done, _ = await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return

    def _described(self) -> dict[str, str]:
        device = self._state.get("device")
        if device is None:
            device = uuid.uuid4().hex
            self._state.put("device", device)
        return {"id": device, "name": self._device, "platform": platform.system().lower()}

    def _keep_tokens(self, found: Any) -> dict[str, Any]:
        given = Tokens.parse(found)
        if self._state.get("uid") not in (None, given.uid):
            self._state.forget()
        tokens = {
            "access_token": given.access_token,
            "refresh_token": given.refresh_token,
            "expires": time.time() + given.expires_in,
        }
        self._state.put("uid", given.uid)
        self._state.put("tokens", tokens)
        return tokens
