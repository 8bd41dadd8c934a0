"""A bot: signing in, taking entries, failures and stopping are done; what it says is left."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from stonechat import patience
from stonechat.backoff import Backoff
from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.errors import (
    Conflict,
    SignedOut,
    StateInUse,
    StonechatError,
    TooFast,
    TryAgain,
    Unauthenticated,
    UnusableState,
)
from stonechat.state import SqliteState, State

URL_VARIABLE = "STONECHAT_URL"
_LOCAL = "ws://127.0.0.1:8001/v1"

Handler = Callable[[Client, Entry], Awaitable[object]]

logger = logging.getLogger("stonechat")


class Bot:
    """`@bot.on("text")` before a function of a client and an entry, then `bot.run()`.

    Each entry that others wrote is given to the function for its type, one after the other. One
    whose handling raises, a refused `send` for example, is logged, counted in `failed`, and does
    not come again; one at which the process died does, so answer with a `cid` made of `entry.id`,
    and it is answered once.
    """

    def __init__(
        self,
        username: str,
        password: str,
        *,
        state: str | Path | State,
        url: str | Sequence[str] | None = None,
        name: str | None = None,
        invite: str | None = None,
        grace: float = 10.0,
    ) -> None:
        """`state` is a file's name; it has the sign-in, what is handled and what is to be sent.
        `url` is by default `$STONECHAT_URL`, or the connector of a system on this machine. `name`
        and `invite` are for registering the first time. On stopping, an entry that is being
        handled has `grace` seconds."""
        self.handled = 0
        self.failed = 0
        self._username = username
        self._password = password
        self._state = state
        self._url = url or os.environ.get(URL_VARIABLE) or _LOCAL
        self._name = name
        self._invite = invite
        self._grace = grace
        self._handlers: dict[str | None, Handler] = {}
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def on(self, *types: str) -> Callable[[Handler], Handler]:
        """The function that follows handles entries of these types; of all others, where none is
        named."""

        def register(handler: Handler) -> Handler:
            self._handlers |= dict.fromkeys(types or (None,), handler)
            return handler

        return register

    def run(self) -> None:
        """Runs until SIGTERM or Ctrl-C. Where it cannot go on (another process has its state, the
        password is wrong, the device was signed out) there is one line on standard error, and the
        process ends with 1."""
        try:
            asyncio.run(self._run())
        except (StonechatError, StateInUse, UnusableState, OSError, ValueError) as error:
            sys.exit(f"{self._username}: {error}")

    async def serve(self) -> None:
        """The same inside an event loop of one's own, until `stop`. Raises `StateInUse`,
        `StonechatError` where it cannot sign in, and `SignedOut`. A server that cannot be reached
        is waited for."""
        async with Client(self._url, state=self._opened(), device=self._username) as client:
            work = asyncio.create_task(self._work(client))
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._idle.wait(), self._grace)
            finally:
                for task in (work, stopping):
                    task.cancel()
                await asyncio.gather(work, stopping, return_exceptions=True)
            if not work.cancelled():
                work.result()

    def stop(self) -> None:
        """Ends `serve`, after the entry that is being handled."""
        self._stopping.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # where there are no such signals
                loop.add_signal_handler(number, self.stop)
        await self.serve()

    def _opened(self) -> State:
        return SqliteState(self._state) if isinstance(self._state, str | Path) else self._state

    async def _work(self, client: Client) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._sign_in(client)
                break
            except (TryAgain, TooFast) as error:
                trouble, pause = str(error), max(error.retry_after, backoff.next())
            except OSError as error:
                trouble, pause = str(error), backoff.next()
            logger.warning("%s waits for a session: %s", self._username, trouble)
            await asyncio.sleep(pause)
        logger.info("%s is signed in as %s", self._username, client.uid)
        await client.handle(lambda entry: self._handle(client, entry), self._count)

    async def _sign_in(self, client: Client) -> None:
        """With what the state remembers, or the password, or as somebody new."""
        with suppress(SignedOut):
            if await client.resume(seconds=patience.ANSWER):
                return
        try:
            await client.login(self._username, self._password)
        except Unauthenticated as wrong:
            if wrong.reason != "bad_credentials":
                raise
            await self._register(client, wrong)

    async def _register(self, client: Client, wrong: Unauthenticated) -> None:
        try:
            await client.register(self._username, self._password, self._name, invite=self._invite)
        except Conflict as conflict:
            if conflict.reason != "username_taken":
                raise
            told = f"there is somebody called {self._username}, with another password"
            raise Unauthenticated(wrong.code, told, wrong.data) from None

    async def _handle(self, client: Client, entry: Entry) -> None:
        handler = self._handlers.get(entry.type) or self._handlers.get(None)
        if handler is None or entry.sender == client.uid:
            return
        if self._stopping.is_set():
            await asyncio.Event().wait()  # until it is cancelled: this entry comes again
        self._idle.clear()
        try:
            await handler(client, entry)
            self.handled += 1
        finally:
            self._idle.set()

    def _count(self, entry: Entry, error: Exception) -> None:
        self.failed += 1
        logger.error("handling %s %s failed", entry.conv, entry.seq, exc_info=error)
