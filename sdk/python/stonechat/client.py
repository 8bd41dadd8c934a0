"""The client: one signed-in device, over any number of connections."""

import asyncio
import itertools
import platform
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from stonechat import errors
from stonechat.backoff import Backoff
from stonechat.connection import Connection, connect
from stonechat.entry import Entry
from stonechat.errors import Disconnected, SignedOut, StonechatError
from stonechat.inbox import Inbox, Signal
from stonechat.outbox import Command, Outbox
from stonechat.state import MemoryState, State
from stonechat.sync import Sync

GOING_AWAY = 1001
SIGNED_OUT = 4001
ABUSE = 4003

_CALL_SECONDS = 30.0
_RENEW_BEFORE = 60.0  # seconds before the token expires
_COMPARE_SECONDS = 180.0  # between two comparisons with the server's list


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is stored: its place, and when it got it (UTC milliseconds)."""

    conv: str
    seq: int
    id: str
    ts: int


class Client:
    """`async with Client(url) as client:`, then `register`, `login`, or `resume` a kept sign-in."""

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
        """`url` is one connector or several, tried in turn. `state` is what to remember in; by
        default nothing outlives the process. `device` is this device's name for people.

        A client without a past begins with what happens after it signed in; `from_start` gives it
        all that its conversations hold.
        """
        self.uid = ""
        self._urls = itertools.cycle([url] if isinstance(url, str) else list(url))
        self._state: State = state or MemoryState()
        self._device = device or platform.node() or "device"
        self._outbox = Outbox(outbox_limit)
        self._connection: Connection | None = None
        self._open = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: Exception | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._expires = 0.0
        self._entries: Inbox[Entry] = Inbox(inbox_limit, self._pause)
        self._signals: Inbox[Signal] = Inbox(inbox_limit, lambda full: None)
        self._sync = Sync(self, self._state, self._entries, from_start=from_start)

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
        return self._open.is_set()

    # Signing in

    async def register(self, username: str, password: str, name: str | None = None) -> None:
        """Makes an account and signs in. Raises `Conflict` where the username is taken."""
        params = {"username": username, "password": password}
        await self._sign_in("auth.register", params | ({"name": name} if name else {}))

    async def login(self, username: str, password: str) -> None:
        """Signs in. Raises `Unauthenticated`, and `TooFast` after repeated failures."""
        await self._sign_in("auth.login", {"username": username, "password": password})

    async def resume(self) -> bool:
        """Signs in with what the state remembers; False where it remembers nothing. Raises
        `SignedOut` where the server no longer takes it."""
        if self._state.get("tokens") is None:
            return False
        await self._begin()
        return True

    async def logout(self) -> None:
        """Signs this device out: its tokens die."""
        await self.call("auth.logout")
        self._state.put("tokens", None)
        self._end(SignedOut("signed out"))

    async def close(self) -> None:
        """Ends the connection. What is not answered stays in the state."""
        self._end(Disconnected("the client was closed"))
        if self._connection is not None:
            self._connection.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._state.close()

    # What an app does

    async def send(
        self,
        *,
        conv: str | None = None,
        to: str | None = None,
        text: str | None = None,
        type: str = "text",
        body: dict[str, Any] | None = None,
        reply_to: int | None = None,
        mentions: Sequence[str] = (),
        cid: str | None = None,
    ) -> Sent:
        """Sends a message to a conversation, or to a person by uid; returns when it is stored.

        It is repeated with the same cid until there is an answer, through lost connections and,
        with a lasting state, through the end of the process. Messages get their order from the
        server: those sent one after the other without waiting keep it, unless a failure in between
        makes the client repeat some of them. Raises `StonechatError` where it is refused.
        """
        params: dict[str, Any] = {
            "cid": cid or uuid.uuid4().hex,
            "type": type,
            "body": body if body is not None else {"text": text},
        }
        params |= {"conv": conv} if conv is not None else {"to": to}
        if reply_to is not None:
            params["reply_to"] = reply_to
        if mentions:
            params["mentions"] = list(mentions)
        found = await self._ask("message.send", params, None)
        return Sent(found["conv"], found["seq"], found["id"], found["ts"])

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, seconds: float = _CALL_SECONDS
    ) -> Any:
        """Calls any method of any function, and returns its result. Repeated like `send` where the
        connection breaks; a changing method is therefore given a `cid`. Raises `StonechatError`
        where it is refused, and `TimeoutError`."""
        return await self._ask(method, params or {}, seconds)

    async def entries(self) -> AsyncIterator[Entry]:
        """Every entry of every conversation, one's own included: each once, and in each
        conversation in order. An entry counts as handled when the next one is asked for; one that
        was not comes again to the next process with the same state."""
        while True:
            entry = await self._entries.take()
            yield entry
            self._state.set_last(entry.conv, entry.seq)

    async def signals(self) -> AsyncIterator[Signal]:
        """What is told and not kept, as (method, params): `read`, `typing`, `presence`, …"""
        while True:
            yield await self._signals.take()

    async def history(
        self, conv: str, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> list[Entry]:
        """Entries that follow `after`, that precede `before`, or the last ones; ascending."""
        params: dict[str, Any] = {"conv": conv, "limit": limit}
        if after is not None:
            params["after"] = after
        if before is not None:
            params["before"] = before
        found = await self.call("message.history", params)
        return [Entry.parse(each) for each in found["entries"]]

    async def conversations(self, changed_since: int | None = None) -> list[dict[str, Any]]:
        """The conversation list, the last changed first."""
        params = {} if changed_since is None else {"changed_since": changed_since}
        found: list[dict[str, Any]] = (await self.call("conversation.list", params))[
            "conversations"
        ]
        return found

    async def read(self, conv: str, seq: int) -> None:
        """Everything up to `seq` was read."""
        await self.call("conversation.read", {"conv": conv, "seq": seq})

    async def typing(self, conv: str) -> None:
        """Tells the others that one is writing."""
        await self.call("conversation.typing", {"conv": conv})

    async def find(self, username: str) -> dict[str, Any] | None:
        """The user with exactly this username."""
        users = (await self.call("user.search", {"q": username}))["users"]
        return next((user for user in users if user["username"] == username), None)

    # Connections

    async def _sign_in(self, method: str, params: dict[str, Any]) -> None:
        connection = await connect(next(self._urls), self._receive)
        try:
            self._keep_tokens(await self._direct(connection, method, params))
        finally:
            connection.close()
        await self._begin()

    async def _begin(self) -> None:
        """Opens the session and keeps it. Returns when it is open for the first time."""
        for method, params in self._state.kept():
            self._outbox.put(method, params, repeat=True)
        self._start(self._run())
        self._start(self._compare())
        await self._ready

    async def _run(self) -> None:
        backoff = Backoff()
        while self.running:
            code = None
            try:
                connection = await connect(next(self._urls), self._receive)
                try:
                    await self._session(connection)
                    backoff.reset()
                    await connection.closed.wait()
                    code = connection.close_code
                finally:
                    self._open.clear()
                    self._connection = None
                    connection.close()
            except (OSError, errors.TryAgain, errors.TooFast, errors.Internal):
                pass  # the next try is below
            except (errors.Unauthenticated, SignedOut) as error:
                self._state.put("tokens", None)
                self._end(SignedOut(str(error)))
            except Exception as error:
                self._end(error)
            if code == ABUSE:
                self._end(Disconnected("the server refused this client's frames"))
            elif code != GOING_AWAY:
                await asyncio.sleep(backoff.next())

    async def _session(self, connection: Connection) -> None:
        """Opens a session on a new connection, and sends what waits."""
        tokens = self._state.get("tokens")
        if tokens is None:
            raise Disconnected("not signed in")
        if tokens["expires"] - time.time() < _RENEW_BEFORE:
            tokens = await self._refresh(connection)
        params = {"access_token": tokens["access_token"], "device": self._described()}
        try:
            opened = await self._direct(connection, "session.open", params)
        except errors.Unauthenticated:
            params["access_token"] = (await self._refresh(connection))["access_token"]
            opened = await self._direct(connection, "session.open", params)
        self.uid = opened["uid"]
        self._expires = opened["expires_at"] / 1000
        self._connection = connection
        for command in self._outbox:
            if command.repeat:
                connection.send(command.frame())
        self._open.set()
        self._start(self._renew(connection))
        await self._sync.compare()
        if not self._ready.done():
            self._ready.set_result(None)

    async def _refresh(self, connection: Connection) -> dict[str, Any]:
        spent = self._state.get("tokens")["refresh_token"]
        return self._keep_tokens(
            await self._direct(connection, "auth.refresh", {"refresh_token": spent})
        )

    async def _renew(self, connection: Connection) -> None:
        """Keeps the session of a connection alive."""
        while not connection.closed.is_set():
            pause = max(1.0, self._expires - time.time() - _RENEW_BEFORE)
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.closed.wait(), pause)
                return
            with suppress(StonechatError, TimeoutError, ConnectionError):
                token = (await self._refresh(connection))["access_token"]
                renewed = await self._direct(connection, "session.renew", {"access_token": token})
                self._expires = renewed["expires_at"] / 1000

    async def _compare(self) -> None:
        """The last net: now and then, what the server has is compared with what is here."""
        while True:
            await asyncio.sleep(_COMPARE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
            with suppress(StonechatError, TimeoutError, ConnectionError):
                await self._sync.compare()

    def _described(self) -> dict[str, str]:
        device = self._state.get("device")
        if device is None:
            device = uuid.uuid4().hex
            self._state.put("device", device)
        return {"id": device, "name": self._device, "platform": platform.system().lower()}

    def _keep_tokens(self, found: dict[str, Any]) -> dict[str, Any]:
        tokens = {
            "access_token": found["access_token"],
            "refresh_token": found["refresh_token"],
            "expires": time.time() + found["expires_in"],
        }
        self._state.put("tokens", tokens)
        return tokens

    # Calls and answers

    async def _ask(self, method: str, params: dict[str, Any], seconds: float | None) -> Any:
        if self._ended is not None:
            raise self._ended
        command = self._outbox.put(method, params, repeat=True)
        cid = params.get("cid")
        if cid is not None:
            self._state.keep(cid, method, params)
        if self._connection is not None and self._open.is_set():
            self._connection.send(command.frame())
        try:
            if seconds is None:
                return await command.answered
            return await asyncio.wait_for(command.answered, seconds)
        except TimeoutError:
            self._outbox.remove(command)
            if cid is not None:
                self._state.drop(cid)
            raise

    async def _direct(self, connection: Connection, method: str, params: dict[str, Any]) -> Any:
        """A call that belongs to this connection and is not repeated on another."""
        command = self._outbox.put(method, params, repeat=False)
        try:
            connection.send(command.frame())
            closed = asyncio.create_task(connection.closed.wait())
            await asyncio.wait(
                [command.answered, closed],
                timeout=_CALL_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            closed.cancel()
            if not command.answered.done():
                raise Disconnected(f"no answer to {method}")
            return command.answered.result()
        finally:
            self._outbox.remove(command)

    def _receive(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case None:
                self._answer(message)
            case "entry":
                self._sync.arrived(Entry.parse(message["params"]))
            case "conversation.hint":
                self._sync.hint(message["params"]["conv"], message["params"]["last_seq"])
            case "session.resync":
                self._start(self._sync.compare())
            case method:
                self._signals.put([(str(method), message["params"])])

    def _answer(self, message: dict[str, Any]) -> None:
        command = self._outbox.get(message.get("id") or 0)
        if command is None:
            return
        if "error" in message:
            error = errors.from_answer(message["error"])
            if command.repeat and isinstance(error, errors.TryAgain | errors.TooFast):
                self._start(self._again(command, error))
                return
            self._done(command)
            if not command.answered.done():
                command.answered.set_exception(error)
                command.answered.exception()  # nobody may be waiting any more
            return
        self._done(command)
        if command.method == "message.send":
            self._sync.arrived(_own(command.params, message["result"], self.uid))
        if not command.answered.done():
            command.answered.set_result(message["result"])

    def _done(self, command: Command) -> None:
        self._outbox.remove(command)
        if "cid" in command.params:
            self._state.drop(command.params["cid"])

    async def _again(self, command: Command, error: StonechatError) -> None:
        """Repeats a command after the pause that the server asked for."""
        command.tries += 1
        pause = float(error.data.get("retry_after", 1)) * min(2.0 ** (command.tries - 1), 8.0)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        connection = self._connection
        if self._outbox.get(command.id) is not None and connection is not None:
            connection.send(command.frame())

    def _pause(self, full: bool) -> None:
        if self._connection is not None:
            if full:
                self._connection.pause()
            else:
                self._connection.resume()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, error: Exception) -> None:
        if not self.running:
            return
        self._ended = error
        self._open.clear()
        for command in self._outbox:
            if not command.answered.done():
                command.answered.set_exception(error)
                command.answered.exception()
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        self._entries.end(error)
        self._signals.end(error)


def _own(params: dict[str, Any], found: dict[str, Any], uid: str) -> Entry:
    """The entry that a sent message became: its sender gets the result in its place."""
    return Entry(
        conv=found["conv"],
        seq=found["seq"],
        id=found["id"],
        ts=found["ts"],
        sender=uid,
        type=params["type"],
        body=params["body"],
        reply_to=params.get("reply_to"),
        mentions=tuple(params.get("mentions", ())),
        cid=params["cid"],
    )
