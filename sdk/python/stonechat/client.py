"""The client: what an app calls. One signed-in device, over any number of connections."""

import asyncio
import itertools
import platform
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from stonechat.calls import Calls
from stonechat.comparison import Comparison
from stonechat.connection import Connection
from stonechat.entry import Entry
from stonechat.errors import Disconnected, SignedOut
from stonechat.friends import Friends
from stonechat.groups import Groups
from stonechat.inbox import Inbox
from stonechat.inbox import Signal as Told
from stonechat.outbox import Command
from stonechat.params import given
from stonechat.presence import Presences
from stonechat.session import Session
from stonechat.signals import Signal, parse
from stonechat.state import MemoryState, State
from stonechat.sync import Sync

_CALL_SECONDS = 30.0
_PAGE = 200  # entries
_USERS = 200  # in one call


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
        all that its conversations hold. A conversation that is new later is given from its first
        entry in either case.

        At most `outbox_limit` calls wait for their answers. Of entries that the app does not take
        about `inbox_limit` are kept, and the rest is fetched when it does; of signals the last
        `inbox_limit`.
        """
        self.uid = ""
        self.friends = Friends(self.call)
        self.groups = Groups(self.call)
        self.presence = Presences(self.call)
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

    # Signing in

    async def register(
        self, username: str, password: str, name: str | None = None, *, invite: str | None = None
    ) -> None:
        """Makes an account and signs in. Raises `Conflict` where the username is taken,
        `Forbidden` where the house is closed or wants a good `invite`, `TooFast` where many came
        from this network of late, and `OSError` where no server can be reached."""
        params = {"username": username, "password": password, "name": name, "invite": invite}
        given = {key: value for key, value in params.items() if value is not None}
        await self._sign_in("auth.register", given)

    async def login(self, username: str, password: str) -> None:
        """Signs in. Raises `Unauthenticated`, `TooFast` after repeated failures, and `OSError`
        where no server can be reached."""
        await self._sign_in("auth.login", {"username": username, "password": password})

    async def resume(self, *, seconds: float | None = None) -> bool:
        """Signs in with what the state remembers; False where it remembers nothing. Waits for the
        server as long as it takes, or raises `Disconnected` after so many `seconds` in which it got
        no further. Raises `SignedOut` where the server no longer takes it; then `login` may
        follow."""
        if self._state.get("tokens") is None:
            return False
        await self._begin(seconds)
        return True

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
        with a lasting state, through the end of the process; to stop waiting does not take it
        back. Messages get their order from the server: those sent one after the other without
        waiting keep it, but where the server fails one of them, some that were under way already
        may come before it. To rule that out, wait for each. Raises `StonechatError` where it is
        refused, `TooLarge` before it is sent, and `OutboxFull`.
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
        found = await self._calls.ask("message.send", params, None)
        return Sent(found["conv"], found["seq"], found["id"], found["ts"])

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, seconds: float = _CALL_SECONDS
    ) -> Any:
        """Calls any method of any function, and returns its result. Repeated like `send` where the
        connection breaks; a changing method is therefore given a `cid`. Raises `StonechatError`
        where it is refused, and `TimeoutError`, after which it is not repeated any more."""
        return await self._calls.ask(method, params or {}, seconds)

    async def entries(self) -> AsyncIterator[Entry]:
        """Every entry of every conversation, one's own included: each once, and in each
        conversation in order. An entry counts as handled when the next one is asked for; one that
        was not comes again to the next process with the same state. Ends with `SignedOut` or
        `Disconnected`. What one loop took, another does not get."""
        while True:
            entry = await self._entries.take()
            if self._closed:
                raise Disconnected("the client was closed")
            yield entry
            if not self._closed:
                self._state.set_last(entry.conv, entry.seq)

    async def signals(self) -> AsyncIterator[Signal]:
        """What is told and not kept: `Read`, `Typing`, `Presence`, …"""
        while True:
            yield parse(*await self._signals.take())

    async def history(
        self, conv: str, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> list[Entry]:
        """Entries that follow `after`, that precede `before`, or the last ones; ascending, at most
        `limit`, in as many calls as it takes."""
        entries: list[Entry] = []
        while len(entries) < limit:
            params: dict[str, Any] = {"conv": conv, "limit": min(limit - len(entries), _PAGE)}
            if after is not None:
                params["after"] = after
            elif before is not None:
                params["before"] = before
            found = await self.call("message.history", params)
            page = [Entry.parse(each) for each in found["entries"]]
            entries = page + entries if after is None else entries + page
            if not page or not found["more"]:
                break
            after, before = (None, page[0].seq) if after is None else (page[-1].seq, None)
        return entries

    async def conversations(self, changed_since: int | None = None) -> list[dict[str, Any]]:
        """The conversation list, the last changed first: all pages of it."""
        found: dict[str, dict[str, Any]] = {}
        params = given(changed_since=changed_since)
        while True:
            page = await self.call("conversation.list", params)
            found |= {each["conv"]: each for each in page["conversations"]}
            if "next" not in page:
                return list(found.values())
            params["after"] = page["next"]

    async def read(self, conv: str, seq: int) -> None:
        """Everything up to `seq` was read."""
        await self.call("conversation.read", {"conv": conv, "seq": seq})

    async def typing(self, conv: str) -> None:
        """Tells the others that one is writing."""
        await self.call("conversation.typing", {"conv": conv})

    async def users(self, uids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The profile of each uid that is somebody's."""
        wanted = list(dict.fromkeys(uids))
        found: dict[str, dict[str, Any]] = {}
        for first in range(0, len(wanted), _USERS):
            some = {"uids": wanted[first : first + _USERS]}
            found |= {user["uid"]: user for user in (await self.call("user.get", some))["users"]}
        return found

    async def find(self, username: str) -> dict[str, Any] | None:
        """The user with exactly this username."""
        users = (await self.call("user.search", {"q": username}))["users"]
        return next((user for user in users if user["username"] == username), None)

    # The session

    async def _sign_in(self, method: str, params: dict[str, Any]) -> None:
        await self._session.sign_in(method, params)
        await self._begin(_CALL_SECONDS)

    async def _begin(self, seconds: float | None) -> None:
        """Opens the session and keeps it. Returns when it is open for the first time."""
        if self._ended is not None:
            raise self._ended
        if self._running is not None:
            raise RuntimeError("this client is signed in")
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
            raise Disconnected(f"no session, and no step nearer in {seconds:.0f} s") from None
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
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    def _opened(self, connection: Connection, session: dict[str, Any]) -> None:
        self.uid = session["uid"]
        self._calls.connected(connection, session["limits"])
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

    async def _page(self, conv: str, after: int) -> list[Entry]:
        params = {"conv": conv, "after": after, "limit": _PAGE}
        # However long it takes: what is given up on a slow line would be asked for again.
        found = await self._calls.ask("message.history", params, None, bounded=False)
        return [Entry.parse(each) for each in found["entries"]]

    def _receive(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case None:
                self._calls.answer(message)
            case "entry":
                self._sync.arrived(Entry.parse(message["params"]))
            case "conversation.hint":
                self._sync.hint(message["params"]["conv"], message["params"]["last_seq"])
            case "session.resync":
                self._session.compare()
            case method:
                self._signals.put([(str(method), message["params"])])

    def _settled(self, command: Command, found: Any) -> None:
        if command.method == "message.send":
            self._sync.arrived(_own(command.params, found, self.uid))


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
