"""Sessions that may have missed changes of what they may hear: it is asked for again.

After a loss (entries of this node's stream, its place in Redis, Redis itself) every session leaves
all channels but its person's own (`begin`), so nothing is heard by whom it is not for any more.
Then, some sessions at a time,

    is the device signed out? → ask the functions that have `session.channels` → subscribe what they
    say → Redis knows it → `session.resync`

and whoever is signed out is closed. Where something does not answer, it is asked again, less and
less often, as long as the session lives; its group channels are left until then. What its person
leaves meanwhile is not joined, as when a session is opened. A loss in between begins all of it
anew; sessions that are just being opened are their opener's.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import cast

import structlog
from redis.exceptions import RedisError

from connector.backoff import Backoff
from connector.channel_sources import RESYNC, ChannelSources
from connector.devices import Devices, Shown
from connector.emitter import Emitter
from connector.registry import Registry
from connector.session import SIGNED_OUT, Session
from connector.subscriptions import Subscriptions
from shared.errors import Reason
from shared.settings import Settings

logger = structlog.get_logger(__name__)

_SIDE_BY_SIDE = 2  # batches: a whole node's are many, and others want their answers too


class Resync:
    """`close(session, code, why)` closes a session after its accepted calls are answered."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        registry: Registry,
        devices: Devices,
        sources: ChannelSources,
        emitter: Emitter,
        close: Callable[[Session, int, str], None],
        config: Settings,
    ) -> None:
        self._subscriptions = subscriptions
        self._registry = registry
        self._devices = devices
        self._sources = sources
        self._emitter = emitter
        self._close = close
        self._batch = config.lane_batch
        self._timeout = config.open_timeout
        self._waiting: dict[Session, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Nobody hears more than their own channel, until they are asked for."""
        self._waiting.clear()
        self._subscriptions.leave_all()

    def ask(self, sessions: Iterable[Session]) -> None:
        """Asks for them again, and tells them `session.resync`."""
        self._waiting.update(dict.fromkeys(sessions))
        while self._waiting and len(self._tasks) < _SIDE_BY_SIDE:
            self._tasks.add(asyncio.get_running_loop().create_task(self._run()))
            if len(self._waiting) <= self._batch:
                break

    async def _run(self) -> None:
        backoff = Backoff(0.1, 10.0)
        while batch := self._next():
            epoch, again = self._subscriptions.epoch, batch
            try:
                again = await self._ask(batch)
            except (RedisError, OSError, TimeoutError) as error:
                why = str(error) or type(error).__name__
                logger.warning("resync_failed", sessions=len(batch), error=why)
            except Exception:  # the last resort: they are asked for again
                logger.exception("resync_broke", sessions=len(batch))
            if self._subscriptions.epoch != epoch:
                continue  # who of them is still there is among those of the next
            self._waiting.update(dict.fromkeys(again))
            if len(again) == len(batch):
                await backoff.pause()
            else:
                backoff.reset()
        # At once, so that whoever asks in this very moment starts another.
        self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next(self) -> list[Session]:
        """Some of those that wait and are still there."""
        while self._waiting:
            batch = list(islice(self._waiting, self._batch))
            for session in batch:
                del self._waiting[session]
            if living := [each for each in batch if _lives(each)]:
                return living
        return []

    async def _ask(self, batch: Sequence[Session]) -> list[Session]:
        """Returns those to ask for again."""
        epoch = self._subscriptions.epoch
        alive, again = await self._alive(batch)
        refused = await self._sources.give(alive)
        if self._subscriptions.epoch != epoch:
            return []
        given = [each for each in alive if each not in refused]
        for session in given:
            self._subscriptions.follow(session)
        await self._registry.flush()
        if self._subscriptions.epoch != epoch:
            return []
        for session in filter(_lives, given):
            session.outlet.write(RESYNC)
            self._emitter.opened(session, again=True)
        return again + list(refused)

    async def _alive(self, batch: Sequence[Session]) -> tuple[list[Session], list[Session]]:
        """Whose devices are signed in, and of whose that is not known. The others are closed."""
        shown = [Shown(each, each.access) for each in batch if each.access is not None]
        alive, unknown = [], []
        for (session, _), refusal in zip(
            shown, await self._devices.refusals(shown, self._timeout), strict=True
        ):
            if refusal is None:
                alive.append(session)
            elif refusal.reason == Reason.UNAUTHENTICATED:
                self._close(session, SIGNED_OUT, refusal.message)
            else:
                unknown.append(session)
        return alive, unknown


def _lives(session: Session) -> bool:
    return session.opened and not session.closing
