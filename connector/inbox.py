"""What other parts send to this node's sessions: its Redis stream, read in order.

After a moment without Redis it reads on where it was. Where entries were lost (the stream was
trimmed before it was read, deleted by a sweep, or Redis lost it), or Redis is not what it was, the
stream begins anew, and so does what sessions hear (`resync`). What comes with a read proves that
nothing of the kind happened before it: nothing is delivered that was published after a loss to
those who were listening before.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError, ResponseError

from connector import metrics, streams
from connector.backoff import Backoff
from connector.channel_sources import RESYNC
from connector.fanout import Fanout
from connector.origin import Origin, number
from connector.pulse import Pulse
from connector.registry import Registry
from connector.resync import Resync
from connector.session import Session
from connector.streams import Entry
from connector.subscriptions import Subscriptions
from shared import channels, keys, rpc
from shared.clock import now_ms
from shared.settings import Settings

logger = structlog.get_logger(__name__)

_BLOCK = 1000  # ms
_APART = 2.0  # seconds between two resyncs
_COUNT = 200  # stream entries in one read
_SILENT = 10.0  # seconds without an answer from which on nobody reads
_NUMBER_END = 20  # characters of a tail, beyond the end of its number

Join = tuple[dict[str, Any], bytes]  # the header of a subscription, and its frame


class Inbox:
    """Reads the stream `node:<id>` and acts on it. `close(session, code, why)` closes a session
    after its accepted calls are answered."""

    def __init__(
        self,
        origin: Origin,
        node: str,
        pulse: Pulse,
        subscriptions: Subscriptions,
        registry: Registry,
        resync: Resync,
        sessions: Callable[[], Iterable[Session]],
        close: Callable[[Session, int, str], None],
        config: Settings,
    ) -> None:
        self._origin = origin
        self._redis = origin.client
        self._key = keys.node(node)
        self._alive = keys.node_alive(node)
        self._pulse = pulse
        self._subscriptions = subscriptions
        self._fanout = Fanout(subscriptions)
        self._registry = registry
        self._resync = resync
        self._sessions = sessions
        self._close = close
        self._believed = config.join_believed * 1000  # ms
        self._behind = min(_COUNT, config.node_stream_length)  # entries waiting, at least
        self._last = b"0-0"
        self._read = 0  # stream entries read since the stream began
        self._mark: bytes | None = None  # of the generation in which channels were asked for
        self._counting = asyncio.Lock()
        self._again_at = 0.0  # when sessions may be told again that they missed something
        self._answered = -math.inf  # when Redis last answered a read
        self.lost = False

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
                if self.lost:
                    await self._start_again()
                await self.deliver(await self._next())
                backoff.reset()
            except (RedisError, OSError) as error:
                logger.warning("inbox_failed", error=error)
                await backoff.pause()
            except Exception:  # the last resort: whatever was missed, sessions compare
                logger.exception("inbox_broke")
                self.lose()
                await backoff.pause()

    def lose(self) -> None:
        """What this node told Redis, or Redis kept for it, is not to be relied on: nothing more is
        delivered until the node has started again, and nobody hears more than their own channel."""
        self.lost = True
        self._resync.begin()

    async def check(self) -> None:
        """Drops what was read from the stream, and notices entries that were lost unread. The
        stream counts what was ever added; all of it was read or is there."""
        async with self._counting, self._redis.pipeline(transaction=True) as pipe:
            read = self._read
            pipe.xtrim(self._key, minid=_after(self._last), approximate=False)
            pipe.xinfo_stream(self._key)
            try:
                _, info = await pipe.execute()
                passed = info["entries-added"] - info["length"]
            except ResponseError:  # no stream
                passed = 0
        if passed != read:  # fewer, where it is another stream
            logger.warning("inbox_entries_lost", read=read, passed=passed)
            self.lose()

    async def deliver(self, entries: Iterable[Entry]) -> None:
        """Acts on stream entries in their order: writes their frames, carries out their controls.
        Frames that no control comes between are written together."""
        try:
            for entry in entries:
                if self.lost:
                    return
                try:
                    await self._deliver(entry)
                except (RedisError, OSError):
                    self.lose()  # the rest of this entry was not delivered
                    raise
                except Exception as failure:  # the last resort: one entry is passed over
                    logger.error("entry_makes_no_sense", exc_info=failure)
                    metrics.NONSENSE.labels("bus").inc()
                    self.lose()
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
                self._subscriptions.go_along(session, channel, header.get("along"))
            if now_ms() - header.get("at", now_ms()) > self._believed:
                self._resync.ask(each for each in sessions if each.opened)
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
        """A frame for each conversation that says how far it goes, or where Redis does not know
        that in this generation, that one is to compare. What is numbered from now on reaches those
        who have just joined."""
        if not convs:
            return {}
        if self._mark is None:
            return dict.fromkeys(convs, RESYNC)
        names, generation = list(convs), number(self._mark)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.mget([keys.of(generation, keys.sequence(conv)) for conv in names])
            for conv in names:
                pipe.getrange(keys.of(generation, keys.tail(conv)), 0, _NUMBER_END)
            pipe.get(keys.GENERATION)
            counters, *tails, mark = await pipe.execute()
        if mark != self._mark:
            return dict.fromkeys(convs, RESYNC)
        ends = [
            max(int(counter or 0), int(tail.split(b":", 1)[0] or 0))
            for counter, tail in zip(counters, tails, strict=True)
        ]
        return {
            conv: rpc.notification("conversation.hint", {"conv": conv, "last_seq": end})
            if end
            else RESYNC
            for conv, end in zip(names, ends, strict=True)
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
                    self._subscriptions.go_along(session, channel, None)
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
        """What came, unless something was lost before it."""
        least = self._pulse.sure
        entries, (mark, beat) = await streams.read_beside(
            self._redis, self._key, self._last, _COUNT, _BLOCK, (keys.GENERATION, self._alive)
        )
        self._answered = time.monotonic()
        if self._mark is None:  # whatever was asked for so far began this generation
            self._mark = mark
        if mark != self._mark:
            logger.warning("generation_changed", node=self._key)
            self.lose()
        elif not await self._pulse.reaches(beat, least):
            logger.warning("node_forgotten", node=self._key)
            self.lose()
        elif len(entries) >= self._behind:  # what is to be read may have been cut off
            await self.check()
        return entries

    async def _start_again(self) -> None:
        """A new stream, all channels told again, and every session asked for again."""
        await asyncio.sleep(max(0.0, self._again_at - time.monotonic()))
        self.lost = False  # what is lost from here on is another loss
        try:
            await self._pulse.beat()
            await self._origin.look()
            async with self._counting, self._redis.pipeline(transaction=False) as pipe:
                pipe.delete(self._key)
                pipe.get(keys.GENERATION)
                _, self._mark = await pipe.execute()
                self._last, self._read = b"0-0", 0
            # Who was asked for since the loss was noticed may have missed what the old stream had.
            self._resync.begin()
            await self._registry.tell_all_again()
            await self._registry.flush()
        except BaseException:
            self.lost = True
            raise
        self._again_at = time.monotonic() + _APART
        sessions = [each for each in self._sessions() if each.opened]
        logger.warning("node_resync", sessions=len(sessions))
        if not self.lost:
            self._resync.ask(sessions)


def _after(stream_id: bytes) -> str:
    """The smallest id above this one."""
    milliseconds, number = stream_id.decode().split("-")
    return f"{milliseconds}-{int(number) + 1}"
