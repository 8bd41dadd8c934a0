"""The channels of sessions, from the functions that announce `session.channels`.

Functions are asked side by side. What one answers is checked; where it fails, its policy decides:
sessions are refused, or they are opened without its channels, it is asked again until it answers,
and they are told `session.resync` then. While such a function does not answer at all, nobody waits
for it.

A channel that its user leaves while a function is asked is not joined; and where all channels were
left meanwhile, the answer is none (`Subscriptions.epoch`).
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import structlog

from connector import answers
from connector.answers import Answer
from connector.backoff import Backoff
from connector.lanes import Forward, Pending
from connector.registry import Registry
from connector.routes import CHANNELS, ChannelSource, Routes
from connector.session import Session
from connector.subscriptions import Subscriptions
from shared import rpc
from shared.subjects import about

logger = structlog.get_logger(__name__)

RESYNC = rpc.notification("session.resync", {})
_BATCH = 256  # sessions that are asked for again at once
_CHANNELS = 10_000  # of one session, from one function
_LENGTH = 200  # of a channel's name


class ChannelSources:
    def __init__(
        self,
        forward: Forward,
        subscriptions: Subscriptions,
        registry: Registry,
        routes: Callable[[], Routes],
    ) -> None:
        self._forward = forward
        self._subscriptions = subscriptions
        self._registry = registry
        self._routes = routes
        self._missing: dict[str, dict[Session, None]] = {}  # by function
        self._silent: set[str] = set()  # functions that did not answer when they were asked last
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def give(self, sessions: Sequence[Session]) -> set[Session]:
        """Subscribes the sessions to what all functions say. Returns those to refuse."""
        sources = self._routes().channel_sources
        refused = await asyncio.gather(*(self._give(source, sessions) for source in sources))
        return set().union(*refused)

    def forget(self, session: Session) -> None:
        """The session is gone."""
        for missing in self._missing.values():
            missing.pop(session, None)

    async def _give(self, source: ChannelSource, sessions: Sequence[Session]) -> set[Session]:
        if source.refuses:
            return set(await self._ask(source, sessions))
        if source.function not in self._silent:
            sessions = await self._ask(source, sessions)
        if sessions:
            self._missing.setdefault(source.function, {}).update(dict.fromkeys(sessions))
            if source.function not in self._tasks:
                work = self._ask_again(source.function)
                self._tasks[source.function] = asyncio.get_running_loop().create_task(work)
        return set()

    async def _ask(self, source: ChannelSource, sessions: Sequence[Session]) -> list[Session]:
        """Subscribes them to what one function says. Returns those for whom it said nothing."""
        calls = [
            Pending(CHANNELS, {}, 0, session, _ignore, request_id=session.request_id)
            for session in sessions
            if not session.closing
        ]
        if not calls:
            return []
        for call in calls:
            _begin(call.session)
        with about(calls):
            return await self._asked(source, calls)

    async def _asked(self, source: ChannelSource, calls: list[Pending]) -> list[Session]:
        epoch = self._subscriptions.epoch
        try:
            async with asyncio.timeout(None if source.refuses else source.budget):
                found = await self._forward(source.function, calls)
            self._silent.discard(source.function)
            return [
                call.session
                for call, answer in zip(calls, found, strict=True)
                if self._subscriptions.epoch != epoch or not self._subscribe(call.session, answer)
            ]
        except TimeoutError:
            logger.warning("channels_too_slow", function=source.function)
        except Exception:  # the last resort: it is this function's trouble alone
            logger.exception("channels_broke", function=source.function)
        finally:
            for call in calls:
                _end(call.session)
        self._silent.add(source.function)
        return [call.session for call in calls]

    def _subscribe(self, session: Session, answer: Answer) -> bool:
        """False where the answer names no channels."""
        names = _channels(answer)
        for name in names or ():
            if name not in (session.left or ()) and not session.closing:
                self._subscriptions.subscribe(session, name)
        return names is not None

    async def _ask_again(self, function: str) -> None:
        """Until it has answered for everybody, or is no source of channels any more."""
        backoff = Backoff(0.5, 30.0)
        try:
            while self._missing[function]:
                await backoff.pause()
                sources = {each.function: each for each in self._routes().channel_sources}
                if function not in sources:
                    return
                try:
                    if await self._give_missing(sources[function]):
                        backoff.reset()
                except Exception:  # the last resort: again, after a longer pause
                    logger.exception("channels_broke", function=function)
        finally:
            self._silent.discard(function)
            del self._tasks[function]
            del self._missing[function]

    async def _give_missing(self, source: ChannelSource) -> bool:
        """Asks for some of those who still miss channels. False where none were given."""
        missing = self._missing[source.function]
        batch = list(islice(missing, _BATCH))
        left = set(await self._ask(source, batch))
        given = [each for each in batch if each not in left]
        for session in batch:
            if session in missing:
                del missing[session]
                if session in left:
                    missing[session] = None  # behind those who were not asked for yet
        await self._registry.flush()
        for session in given:
            if session.opened and not session.closing:
                session.outlet.write(RESYNC)
        return bool(given)


def _begin(session: Session) -> None:
    session.asked += 1
    if session.left is None:
        session.left = set()


def _end(session: Session) -> None:
    session.asked -= 1
    if not session.asked:
        session.left = None


def _channels(answer: Answer) -> list[str] | None:
    """The channels that an answer names, None where it is no such answer."""
    result: Any = answers.result(answer)
    names = result.get("channels") if isinstance(result, dict) else None
    if not isinstance(names, list) or len(names) > _CHANNELS:
        return None
    fine = all(isinstance(name, str) and 0 < len(name) <= _LENGTH for name in names)
    return names if fine else None


def _ignore(answer: Answer) -> None:
    pass
