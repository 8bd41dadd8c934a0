"""What other parts send to this node's sessions: its Redis stream, read in order.

After a moment without Redis it reads on where it was. Where entries were lost (the stream was
trimmed before it was read, deleted by a sweep, or Redis lost it) the sessions are told
`session.resync` and compare their numbers with the server's.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from connector import metrics, streams
from connector.backoff import Backoff
from connector.channel_sources import RESYNC
from connector.emitter import Emitter
from connector.fanout import Fanout
from connector.registry import Registry
from connector.session import Session
from connector.streams import Entry
from connector.subscriptions import Subscriptions
from shared import channels, keys, rpc

logger = structlog.get_logger(__name__)

_BLOCK = 1000  # ms
_APART = 2.0  # seconds between two resyncs
_COUNT = 200  # stream entries in one read
_SILENT = 10.0  # seconds without an answer from which on nobody reads

Join = tuple[dict[str, Any], bytes]  # the header of a subscription, and its frame


class Inbox:
    """Reads the stream `node:<id>` and acts on it. `close(session, code, why)` closes a session
    after its accepted calls are answered."""

    def __init__(
        self,
        client: Redis,
        node: str,
        subscriptions: Subscriptions,
        registry: Registry,
        sessions: Callable[[], Iterable[Session]],
        close: Callable[[Session, int, str], None],
        emitter: Emitter,
    ) -> None:
        self._redis = client
        self._key = keys.node(node)
        self._subscriptions = subscriptions
        self._fanout = Fanout(subscriptions)
        self._registry = registry
        self._sessions = sessions
        self._close = close
        self._emitter = emitter
        self._last = b"0-0"
        self._read = 0  # stream entries read since the stream began
        self._again_at = 0.0  # when sessions may be told again that they missed something
        self._answered = -math.inf  # when Redis last answered a read
        self.lost = False  # set from outside: Redis forgot this node

    @property
    def reads(self) -> bool:
        """Whether the stream was read a moment ago, be it that nothing was there."""
        return time.monotonic() - self._answered < _SILENT

    async def run(self) -> None:
        """Reads until cancelled."""
        backoff = Backoff(0.05, 1.0)
        self._answered = time.monotonic()  # as good as: a read of nothing takes a while
        while True:
            try:
                if self.lost and time.monotonic() >= self._again_at:
                    await self._start_again()
                    self._again_at = time.monotonic() + _APART
                await self.deliver(await self._next())
                backoff.reset()
            except (RedisError, OSError) as error:
                logger.warning("inbox_failed", error=error)
                await backoff.pause()
            except Exception:  # the last resort: whatever was missed, sessions compare
                logger.exception("inbox_broke")
                self.lost = True
                await backoff.pause()

    async def check(self) -> None:
        """Drops what was read from the stream, and notices entries that were lost unread. The
        stream counts what was ever added; all of it was read or is there."""
        read, last = self._read, self._last
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xtrim(self._key, minid=_after(last), approximate=False)
            pipe.xinfo_stream(self._key)
            try:
                _, info = await pipe.execute()
            except ResponseError:  # no stream: nothing was ever sent
                return
        lost = info["entries-added"] - read - info["length"]
        if lost > 0:
            logger.warning("inbox_entries_lost", count=lost)
            self.lost = True

    async def deliver(self, entries: Iterable[Entry]) -> None:
        """Acts on stream entries in their order: writes their frames, carries out their controls.
        Frames that no control comes between are written together."""
        try:
            for entry in entries:
                try:
                    await self._deliver(entry)
                except (RedisError, OSError):
                    self.lost = True  # the rest of this entry was not delivered
                    raise
                except Exception as failure:  # the last resort: one entry is passed over
                    logger.error("entry_makes_no_sense", exc_info=failure)
                    metrics.NONSENSE.labels("bus").inc()
                    self.lost = True
        finally:
            self._fanout.flush()

    async def _deliver(self, entry: Entry) -> None:
        self._last = entry[0]
        self._read += 1
        fields = entry[1]
        joins: list[Join] = []
        frames, start = fields[b"frames"], 0
        sizes = orjson.loads(fields[b"sizes"])
        for header, size in zip(orjson.loads(fields[b"items"]), sizes, strict=True):
            frame = frames[start : start + size]
            start += size
            if header.get("op") == "subscribe":
                joins.append((header, frame))
                continue
            await self._join(joins)
            if "op" in header:
                self._control(header, frame)
                continue
            self._fanout.add(header, frame)
            if self._fanout.full:
                self._fanout.flush()
                await asyncio.sleep(0)  # others have their turn
        await self._join(joins)

    async def _join(self, joins: list[Join]) -> None:
        """Carries out subscriptions that follow each other, tells Redis of all of them at once, and
        then their sessions."""
        if not joins:
            return
        self._fanout.flush()
        done: list[tuple[list[Session], Join]] = []
        for header, frame in joins:
            uid, channel = header["uid"], header["channel"]
            sessions = self._of(header)
            if not sessions or not self._subscriptions.is_news(uid, channel, header.get("rev")):
                continue
            for session in sessions:
                self._subscriptions.subscribe(session, channel)
                if session.left is not None:
                    session.left.discard(channel)
            done.append((sessions, (header, frame)))
        joins.clear()
        if not done:
            return
        await self._registry.flush()
        hints = await self._hints({header["hint"] for _, (header, _) in done if "hint" in header})
        for sessions, (header, frame) in done:
            for session in sessions:
                if frame:
                    session.outlet.write(frame)
                if header.get("hint") in hints:
                    session.outlet.write(hints[header["hint"]])

    async def _hints(self, convs: set[str]) -> dict[str, bytes]:
        """A frame for each conversation that says how far it goes. What is numbered from now on
        reaches those who have just joined."""
        if not convs:
            return {}
        names = list(convs)
        found = await self._redis.mget([keys.sequence(conv) for conv in names])
        return {
            conv: rpc.notification("conversation.hint", {"conv": conv, "last_seq": int(last)})
            for conv, last in zip(names, found, strict=True)
            if last is not None
        }

    def _of(self, header: dict[str, Any]) -> list[Session]:
        """The local sessions that a control is about."""
        only = header.get("session")
        return [
            session
            for session in self._subscriptions.of(channels.user(header["uid"]))
            if only in (None, session.sid)
        ]

    def _control(self, header: dict[str, Any], frame: bytes) -> None:
        self._fanout.flush()
        uid = header["uid"]
        sessions = self._of(header)
        match header["op"]:
            case "unsubscribe":
                channel = header["channel"]
                if not self._subscriptions.is_news(uid, channel, header.get("rev")):
                    return
                for session in sessions:
                    self._subscriptions.unsubscribe(session, channel)
                    if session.left is not None:
                        session.left.add(channel)
                self._registry.changed()
            case "close":
                device = header.get("device")
                sessions = [each for each in sessions if device in (None, each.device)]
        if frame:
            for session in sessions:
                session.outlet.write(frame)
        if header["op"] == "close":
            for session in sessions:
                self._close(session, header["code"], header["why"])

    async def _next(self) -> list[Entry]:
        found: Any = await self._redis.xread({self._key: self._last}, count=_COUNT, block=_BLOCK)
        self._answered = time.monotonic()
        return streams.entries(found)

    async def _start_again(self) -> None:
        """Redis lost this node, or entries for it: a new stream, all channels told again, and every
        session told that it may have missed something."""
        await self._redis.delete(self._key)
        self._last, self._read, self.lost = b"0-0", 0, False
        self._registry.tell_all_again()
        await self._registry.flush()
        sessions = list(self._sessions())
        logger.warning("node_resync", sessions=len(sessions))
        for session in sessions:
            if session.opened:
                session.outlet.write(RESYNC)
                self._emitter.opened(session, again=True)
            await asyncio.sleep(0)


def _after(stream_id: bytes) -> str:
    """The smallest id above this one."""
    milliseconds, number = stream_id.decode().split("-")
    return f"{milliseconds}-{int(number) + 1}"
