"""Opening and renewing sessions, in batches, which is what a reconnect storm needs.

    verify the token → subscribe `user:<uid>` → is the device signed out? → ask the functions that
    announce `session.channels` → subscribe what they say → answer

The user's channel is live before anything is read, so that a change made meanwhile is heard: a
device signed out closes the session, and a channel that the user leaves meanwhile is not joined.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from redis.exceptions import RedisError

from connector.answers import Answer, refused
from connector.channel_sources import ChannelSources
from connector.devices import Devices, Shown
from connector.emitter import Emitter
from connector.limits import Limits
from connector.registry import Registry
from connector.session import Session
from connector.subscriptions import Subscriptions
from shared import channels
from shared.errors import CallError, Reason
from shared.params import invalid_model
from shared.rpc import Request
from shared.subjects import about
from shared.tokens import Access, Verifier

logger = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)
_SIDE_BY_SIDE = 4  # batches, so that one that waits for a function holds up few
_Short = Annotated[str, StringConstraints(max_length=100)]


class Device(BaseModel):
    model_config = ConfigDict(strict=True)

    id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    name: _Short | None = None
    platform: _Short | None = None


class Open(BaseModel):
    model_config = ConfigDict(strict=True)

    access_token: Annotated[str, StringConstraints(max_length=4000)]
    device: Device


class Renew(BaseModel):
    model_config = ConfigDict(strict=True)

    access_token: Annotated[str, StringConstraints(max_length=4000)]


@dataclass(slots=True, eq=False)
class _Asked:
    """A session that is to be opened or renewed."""

    session: Session
    access: Access
    answer: Callable[[Answer], None]
    request_id: str
    renews: bool
    checked: bool = False  # its device is known to be signed in, or not
    refusal: CallError | None = None


class Opener:
    def __init__(
        self,
        verifier: Verifier,
        devices: Devices,
        sources: ChannelSources,
        subscriptions: Subscriptions,
        registry: Registry,
        emitter: Emitter,
        limits: Limits,
        *,
        batch: int,
        timeout: float,
    ) -> None:
        """`limits` are those of an open session; a batch of `batch` sessions has `timeout`
        seconds."""
        self._verifier = verifier
        self._devices = devices
        self._sources = sources
        self._subscriptions = subscriptions
        self._registry = registry
        self._emitter = emitter
        self._limits = limits
        self._batch = batch
        self._timeout = timeout
        self._waiting: list[_Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, session: Session, request: Request, answer: Callable[[Answer], None]) -> None:
        """Starts opening; `answer` is called once, `session.opened` is set before. Raises
        `CallError`."""
        if session.opened or session.uid is not None:
            raise CallError(Reason.CONFLICT, "the session is open")
        access = self._verifier.access(_parsed(Open, request.params).access_token)
        _sign(session, access)
        session.opening, session.request_id = True, request.request_id
        self._put(_Asked(session, access, answer, request.request_id, renews=False))

    def renew(self, session: Session, request: Request, answer: Callable[[Answer], None]) -> None:
        """The session lives as long as the new token. Refuses with `forbidden` where that is
        another device's."""
        access = self._verifier.access(_parsed(Renew, request.params).access_token)
        if not session.opened:
            raise CallError(Reason.UNAUTHENTICATED)
        if (access.uid, access.device) != (session.uid, session.device):
            raise CallError(Reason.FORBIDDEN, "the token is another device's")
        session.request_id = request.request_id
        self._put(_Asked(session, access, answer, request.request_id, renews=True))

    @property
    def idle(self) -> bool:
        return not self._tasks

    def _put(self, asked: _Asked) -> None:
        self._waiting.append(asked)
        if len(self._tasks) < _SIDE_BY_SIDE:
            self._tasks.add(asyncio.get_running_loop().create_task(self._run()))

    async def _run(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._batch]
            del self._waiting[: self._batch]
            with about(batch):
                await self._decide(batch)
            for asked in batch:
                try:
                    self._answer(asked)
                except Exception:  # one client's trouble
                    logger.exception("answer_broke", request=asked.request_id)
            self._registry.changed()
        # At once, so that whoever asks in this very moment starts another.
        self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _decide(self, batch: list[_Asked]) -> None:
        """Finds who may not, and gives the others their channels."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._join(batch)
            return
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("open_failed", sessions=len(batch), error=error)
            refusal = CallError(Reason.UNAVAILABLE, retry_after=1)
        except Exception:  # the last resort: whoever asked is answered
            logger.exception("open_broke", sessions=len(batch))
            refusal = CallError(Reason.INTERNAL)
        for asked in batch:
            if not (asked.renews and asked.checked):
                asked.refusal = asked.refusal or refusal

    async def _join(self, batch: list[_Asked]) -> None:
        """Where all channels were left meanwhile, what was asked before is asked once more."""
        epoch = None
        while epoch != self._subscriptions.epoch:
            epoch = self._subscriptions.epoch
            await self._ask(batch)

    async def _ask(self, batch: list[_Asked]) -> None:
        opening = [each for each in batch if not each.renews and not each.session.closing]
        for asked in opening:
            self._subscriptions.subscribe(asked.session, channels.user(asked.access.uid))
        await self._registry.flush()
        refusals = await self._devices.refusals(
            [Shown(each.session, each.access) for each in batch], self._timeout
        )
        for asked, refusal in zip(batch, refusals, strict=True):
            asked.refusal, asked.checked = refusal, True
        sessions = [each.session for each in opening if each.refusal is None]
        refused_by_one = await self._sources.give(sessions)
        for asked in opening:
            if asked.session in refused_by_one:
                asked.refusal = CallError(Reason.UNAVAILABLE, retry_after=1)
        await self._registry.flush()

    def _answer(self, asked: _Asked) -> None:
        session, refusal = asked.session, asked.refusal
        if refusal is None and session.closing:
            refusal = CallError(Reason.UNAUTHENTICATED)
        if asked.renews:
            if refusal is None:
                _sign(session, asked.access)
            expires = {"expires_at": asked.access.expires * 1000}
            asked.answer(_result(expires) if refusal is None else refused(refusal))
            return
        session.opening = False
        if refusal is None:
            now = time.monotonic()
            session.opened = True
            session.limit(self._limits, now)
            self._emitter.opened(session)
            asked.answer(_result(self._opened(session)))
            return
        self._subscriptions.drop(session)
        self._sources.forget(session)
        session.sign(None, None)
        session.access = None
        asked.answer(refused(refusal))

    def _opened(self, session: Session) -> dict[str, Any]:
        return {
            "uid": session.uid,
            "sid": session.sid,
            "expires_at": int(session.expires * 1000),
            "server_time": time.time_ns() // 1_000_000,
            "limits": self._limits.as_result(),
        }


def _sign(session: Session, access: Access) -> None:
    session.sign(access.uid, access.device, access.roles)
    session.access, session.expires = access, access.expires


def _parsed(model: type[M], params: dict[str, Any]) -> M:
    try:
        return model.model_validate(params)
    except ValidationError as invalid:
        raise invalid_model(invalid) from None


def _result(value: dict[str, Any]) -> Answer:
    return orjson.dumps({"result": value})
