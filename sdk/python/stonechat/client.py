"""The client: what an app calls. One signed-in device, over any number of connections."""

import asyncio
import itertools
import logging
import platform
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self

from stonechat import own, patience
from stonechat.auth import SignInConfig
from stonechat.calls import Calls
from stonechat.comparison import Comparison
from stonechat.connection import Connection
from stonechat.conversations import Conversations
from stonechat.entry import Entry
from stonechat.errors import BadAnswer, Disconnected, NotSignedIn, SignedOut
from stonechat.friends import Friends
from stonechat.groups import Groups
from stonechat.inbox import Inbox
from stonechat.inbox import Signal as Told
from stonechat.messages import PAGE, Messages, Page
from stonechat.outbox import Command
from stonechat.params import given
from stonechat.presence import Presences
from stonechat.session import Opened, Session
from stonechat.shape import is_number
from stonechat.signals import Signal, parse
from stonechat.state import MemoryState, State
from stonechat.sync import Sync
from stonechat.users import Users

logger = logging.getLogger("stonechat")


class Client:
    """`async with Client(url) as client:`, then `register`, `login`, or `resume` a kept sign-in.

    What an app does is in `messages`, `conversations`, `users`, `friends`, `groups` and `presence`,
    the most common of it here too: `send`, `forward`, `edit`, `recall`, `react`, `history`, `read`,
    `typing`, `find`. All of that raises `StonechatError` where the server refuses it, `NotSignedIn`
    before one has signed in, and `Disconnected` after `close`.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        state: State | None = None,
        device: str | None = None,
        from_start: bool = False,
        outbox_limit: int = 10_000,
        inbox_limit: int = 10_000,
    ) -> None:
        """`url` is one connector or several, tried in turn; `ValueError` says where one cannot be.
        `state` is what to remember in; by default nothing outlives the process. `device` is this
        device's name for people.

        A client without a past begins with what happens after it signed in; `from_start` gives it
        all that its conversations hold. A conversation that is new later is given from its first
        entry in either case.

        At most `outbox_limit` calls wait for their answers. Of entries that the app does not take
        about `inbox_limit` are kept, and the rest is fetched when it does; of signals the last
        `inbox_limit`.
        """
        self.uid = ""
        self.messages = Messages(self.call, self._command)
        self.conversations = Conversations(self.call)
        self.users = Users(self.call)
        self.friends = Friends(self.call)
        self.groups = Groups(self.call)
        self.presence = Presences(self.call)
        self.send = self.messages.send
        self.forward = self.messages.forward
        self.edit = self.messages.edit
        self.recall = self.messages.recall
        self.react = self.messages.react
        self.history = self.messages.history
        self.read = self.conversations.read
        self.typing = self.conversations.typing
        self.find = self.users.find
        self._state: State = state or MemoryState()
        numbers = itertools.count(1)
        self._calls = Calls(self._state, outbox_limit, numbers, self._settled)
        self._loaded = False
        self._ready: asyncio.Future[None] | None = None
        self._ended: Exception | None = None
        self._closed = False
        self._running: asyncio.Task[None] | None = None
        self._entries: Inbox[Entry] = Inbox(inbox_limit)
        self._signals: Inbox[Told] = Inbox(inbox_limit, lossy=True)
        self._sync = Sync(self._state, self._entries, self._page, from_start=from_start)
        self._session = Session(
            [url] if isinstance(url, str) else url,
            self._state,
            device or platform.node() or "device",
            numbers,
            receive=self._receive,
            opened=self._opened,
            lost=self._calls.disconnected,
            listed=self._compare,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def running(self) -> bool:
        """Whether this client still tries to be connected."""
        return self._ended is None

    @property
    def connected(self) -> bool:
        """Whether there is a session at this moment."""
        return self._session.connection is not None

    @property
    def senseless_frames(self) -> int:
        """How many frames came that made no sense, which is a fault of the server or of one of its
        functions. The log `stonechat` says which."""
        return self._session.frames.senseless

    # Signing in

    async def register(
        self, username: str, password: str, name: str | None = None, *, invite: str | None = None
    ) -> None:
        """Makes an account and signs in. Raises `Conflict` where the username is taken,
        `Forbidden` where the house is closed or wants a good `invite`, `TooFast` where many came
        from this network of late, and `OSError` where no server can be reached."""
        params = given(username=username, password=password, name=name, invite=invite)
        await self._sign_in("auth.register", params)

    async def login(self, username: str, password: str) -> None:
        """Signs in. Raises `Unauthenticated`, `TooFast` after repeated failures, and `OSError`
        where no server can be reached."""
        await self._sign_in("auth.login", {"username": username, "password": password})

    async def resume(self, *, seconds: float | None = None) -> bool:
        """Signs in with what the state remembers; False where it remembers nothing. Waits for the
        server as long as it takes, or raises `Disconnected` after so many `seconds` in which it got
        no further. Raises `SignedOut` where the server no longer takes it; then `login` may
        follow."""
        self._require_rest()
        if self._state.get("tokens") is None:
            return False
        await self._begin(seconds)
        return True

    async def renew(self) -> None:
        """New tokens now, and not when the session's time is nearly over: what has changed of
        one's rights is felt. Raises `SignedOut`, and `Disconnected` where there is no session."""
        await self._session.renew()

    async def config(self) -> SignInConfig:
        """How one may register and sign in; can be asked before. Raises `OSError` where no server
        can be reached."""
        return SignInConfig.parse(await self._session.ask("auth.config", {}))

    async def logout(self) -> None:
        """Signs this device out: its tokens die."""
        # The server closes the session with its answer, which may be lost: then it is as well.
        with suppress(SignedOut):
            await self.call("auth.logout")
        self._state.put("tokens", None)
        self._end(SignedOut("signed out"))

    async def close(self) -> None:
        """Ends the connection. What is not answered stays in the state."""
        if self._closed:
            return
        self._closed = True
        self._end(Disconnected("the client was closed"))
        await self._stop()
        await self._sync.close()
        self._state.close()

    # What an app does

    async def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        seconds: float = patience.ANSWER,
    ) -> Any:
        """Calls any method of any function, and returns its result. Repeated like `send` where the
        connection breaks; a changing method is therefore given a `cid`. Raises `StonechatError`
        where it is refused, and `TimeoutError`, after which it is not repeated any more."""
        self._require_sign_in()
        if not isinstance(method, str) or not isinstance(params or {}, dict):
            raise TypeError("a method's name and an object of params are needed")
        return await self._calls.ask(method, params or {}, seconds)

    async def entries(self) -> AsyncGenerator[Entry, None]:
        """Every entry of every conversation, one's own included: each once, and in each
        conversation in order. An entry counts as handled when the next one is asked for; one that
        was not comes again to the next process with the same state. Ends with `SignedOut` or
        `Disconnected`. What one loop took, another does not get."""
        self._require_sign_in()
        while True:
            entry = await self._entries.take()
            if self._closed:
                raise Disconnected("the client was closed")
            yield entry
            if not self._closed:
                self._state.set_last(entry.conv, entry.seq)

    async def handle(
        self,
        handler: Callable[[Entry], Awaitable[object]],
        failed: Callable[[Entry, Exception], object] | None = None,
    ) -> None:
        """Awaits `handler` with every entry, one after the other. One whose handling raises counts
        as handled: it is logged, or given to `failed`, and does not come again; one at which the
        process dies does. Ends as `entries` does."""
        async with aclosing(self.entries()) as entries:
            async for entry in entries:
                try:
                    await _shielded(handler(entry))
                except Exception as error:
                    # Where the client ended meanwhile, this is no fault of the entry's.
                    if self._ended is not None:
                        raise self._ended from error
                    if failed is not None:
                        failed(entry, error)
                    else:
                        logger.exception("handling %s %s failed", entry.conv, entry.seq)

    async def signals(self) -> AsyncIterator[Signal]:
        """What is told and not kept: `Read`, `Typing`, `Presence`, …"""
        self._require_sign_in()
        while True:
            yield parse(*await self._signals.take())

    # The session

    async def _sign_in(self, method: str, params: dict[str, Any]) -> None:
        self._require_rest()
        await self._session.sign_in(method, params)
        await self._begin(patience.ANSWER)

    async def _begin(self, seconds: float | None) -> None:
        """Opens the session and keeps it. Returns when it is open for the first time."""
        self._require_rest()
        if not self._loaded:
            self._loaded = True
            self._sync.load()
            self._calls.load()
        self._ready = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(self._ready))
        try:
            await self._until_ready(self._ready, seconds)
        except TimeoutError:
            await self._stop()
            why = f": {self._session.trouble}" if self._session.trouble else ""
            told = f"no session, and no step nearer in {seconds:.0f} s{why}"
            raise Disconnected(told) from None
        except BaseException:
            await self._stop()
            raise

    async def _until_ready(self, ready: "asyncio.Future[None]", seconds: float | None) -> None:
        """Raises `TimeoutError` where nothing gets further for so long."""
        began = time.monotonic()
        while not ready.done():
            left = None
            if seconds is not None:
                left = max(began, self._session.advanced) + seconds - time.monotonic()
                if left <= 0:
                    raise TimeoutError
            await asyncio.wait([ready], timeout=left)
        await ready

    async def _run(self, ready: "asyncio.Future[None]") -> None:
        try:
            await self._session.run()
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            else:
                self._end(error)

    async def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _opened(self, connection: Connection, session: Opened) -> None:
        self.uid = session.uid
        self._calls.connected(connection, session.limits, session.uid)
        self.presence.opened()

    def _compare(self, found: Comparison) -> None:
        self._sync.compare(found.lasts, found.starts)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _end(self, error: Exception) -> None:
        if not self.running:
            return
        self._ended = error
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
        self._calls.end(error)
        self._entries.end(error)
        self._signals.end(error)

    async def _command(self, method: str, params: dict[str, Any]) -> Any:
        self._require_sign_in()
        return await self._calls.ask(method, params, None)

    async def _page(self, conv: str, after: int) -> list[Entry]:
        params = {"conv": conv, "after": after, "limit": PAGE}
        # However long it takes: what is given up on a slow line would be asked for again.
        found = await self._calls.ask("message.history", params, None, bounded=False)
        return list(Page.parse(found, conv, after).entries)

    def _receive(self, message: dict[str, Any]) -> None:
        """What came and is no answer to the session. Raises what is told in `frames`."""
        method, params = message.get("method"), message.get("params", {})
        if method is None:
            self._calls.answer(message)
        elif not isinstance(method, str) or not isinstance(params, dict):
            raise BadAnswer("neither an answer nor a notification")
        elif method == "entry":
            self._sync.arrived(Entry.parse(params))
        elif method == "conversation.hint":
            conv, last_seq = params.get("conv"), params.get("last_seq")
            if not isinstance(conv, str) or not is_number(last_seq):
                raise BadAnswer("a hint without a place")
            self._sync.hint(conv, last_seq)
        elif method == "session.resync":
            self._session.compare()
        else:
            self._signals.put([(method, params)])

    def _settled(self, command: Command, found: Any) -> None:
        entry = own.sent(command, found, self.uid)
        if entry is not None:
            self._sync.arrived(entry)
        elif (made := own.place(command, found)) is not None:
            self._sync.own(*made)
        elif own.may_have_made(command):
            self._session.look()

    def _require_sign_in(self) -> None:
        """Raises `NotSignedIn`, and why this client has ended."""
        if self._ended is not None:
            raise self._ended
        if self._running is None:
            raise NotSignedIn

    def _require_rest(self) -> None:
        """Raises `RuntimeError` where this client is signed in, and why it has ended."""
        if self._ended is not None:
            raise self._ended
        if self._running is not None:
            raise RuntimeError("this client is signed in already")


async def _shielded(work: Awaitable[object]) -> None:
    """Awaits it. That something in it was cancelled is its own failure, unless we are."""
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("what the handler waited for was cancelled") from error
