"""The connector's own events: `session.opened` and `session.closed`, `{uid, did, sid, at}`.

Noting one costs nothing and never fails; they are written in batches, after Redis knows the
channels that changed with them, so that whoever hears of an event finds it true. While Redis is
away they wait, up to a bound, beyond which new ones are dropped and counted.

`at` is in ms. A session that is told again (`again` is true) was open before; Redis may have
forgotten it. A node that died has its people's sessions closed for it, without `did` and `sid`.
"""

import asyncio
from collections import deque
from itertools import islice

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connector import metrics
from connector.backoff import Backoff
from connector.registry import Registry
from connector.session import Session
from shared import events, keys
from shared.events import Happened, now_ms

logger = structlog.get_logger(__name__)

OPENED = "session.opened"
CLOSED = "session.closed"
_BATCH = 200  # events in one stream entry


class Emitter:
    def __init__(
        self, client: Redis, registry: Registry, *, stream_length: int, unsent: int
    ) -> None:
        self._redis = client
        self._registry = registry
        self._stream_length = stream_length
        self._limit = unsent
        self._unsent: deque[Happened] = deque()
        self._wake = asyncio.Event()

    def opened(self, session: Session, *, again: bool = False) -> None:
        self._note(OPENED, session, {"again": True} if again else {})

    def closed(self, session: Session) -> None:
        self._note(CLOSED, session, {})

    async def run(self) -> None:
        """Writes until cancelled."""
        backoff = Backoff(0.05, 2.0)
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._registry.flush()
                await self.flush()
                backoff.reset()
            except (RedisError, OSError) as error:
                logger.warning("emitter_failed", waiting=len(self._unsent), error=error)
                self._wake.set()
                await backoff.pause()
            except Exception:  # the last resort: what was noted is written later
                logger.exception("emitter_broke")
                self._wake.set()
                await backoff.pause()

    async def flush(self) -> None:
        """Writes what was noted. Raises `RedisError` or `OSError`; then the rest stays."""
        while self._unsent:
            batch = list(islice(self._unsent, _BATCH))
            await self.write(batch)
            for _ in batch:
                self._unsent.popleft()

    async def write(self, batch: list[Happened]) -> None:
        """Puts events into the stream at once. Raises `RedisError` or `OSError`."""
        for start in range(0, len(batch), _BATCH):
            await self._redis.xadd(
                keys.EVENTS,
                events.fields(batch[start : start + _BATCH]),
                maxlen=self._stream_length,
                approximate=True,
            )
        metrics.EMITTED.inc(len(batch))

    def _note(self, type_: str, session: Session, more: dict[str, bool]) -> None:
        if len(self._unsent) >= self._limit:
            metrics.UNSENT.inc()
            return
        data = {"uid": session.uid, "did": session.device, "sid": session.sid, "at": now_ms()}
        self._unsent.append(Happened(type_, data | more, request_id=session.request_id))
        self._wake.set()


def closed_for(uid: str, at: int) -> Happened:
    """That the sessions of a person closed with a node that died."""
    return Happened(CLOSED, {"uid": uid, "did": "", "sid": "", "at": at})
