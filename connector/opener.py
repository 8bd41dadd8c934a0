"""Opening sessions, in batches, which is what a reconnect storm needs.

    verify the token → subscribe `user:<uid>` → is the device signed out? → ask the functions that
    announce `session.channels` → subscribe what they say → answer

The user's channel is live before anything is read, so that a change made meanwhile is heard: a
device signed out closes the session, and a channel that the user leaves meanwhile is not joined.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connector.answers import Answer, refused
from connector.emitter import Emitter
from connector.lanes import Forward, Pending
from connector.registry import Registry
from connector.routes import CHANNELS, Routes
from connector.session import Session
from connector.subscriptions import Subscriptions
from shared import channels, keys
from shared.errors import CallError, Reason
from shared.params import invalid_model
from shared.tokens import Access, Verifier

logger = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)
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


@dataclass(slots=True)
class _Opening:
    session: Session
    params: Open
    answer: Callable[[Answer], None]


class Opener:
    def __init__(
        self,
        client: Redis,
        verifier: Verifier,
        subscriptions: Subscriptions,
        registry: Registry,
        forward: Forward,
        routes: Callable[[], Routes],
        limits: dict[str, Any],
        emitter: Emitter,
        *,
        batch: int,
        timeout: float,
    ) -> None:
        self._redis = client
        self._verifier = verifier
        self._subscriptions = subscriptions
        self._registry = registry
        self._forward = forward
        self._routes = routes
        self._limits = limits
        self._emitter = emitter
        self._batch = batch
        self._timeout = timeout
        self._waiting: list[_Opening] = []
        self._task: asyncio.Task[None] | None = None

    def open(
        self, session: Session, params: dict[str, Any], answer: Callable[[Answer], None]
    ) -> None:
        """Starts opening; `answer` is called once, `session.opened` is set before."""
        try:
            if session.opened or session.uid is not None:
                raise CallError(Reason.CONFLICT, "the session is open")
            opening = _Opening(session, _parsed(Open, params), answer)
            access = self._verifier.access(opening.params.access_token)
        except CallError as refusal:
            answer(refused(refusal))
            return
        _sign(session, access)
        session.held = []
        session.left = set()
        self._waiting.append(opening)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def renew(self, session: Session, params: dict[str, Any]) -> Answer:
        """The session lives as long as the new token. Raises `CallError`."""
        access = self._verifier.access(_parsed(Renew, params).access_token)
        if not session.opened:
            raise CallError(Reason.UNAUTHENTICATED)
        if (access.uid, access.device) != (session.uid, session.device):
            raise CallError(Reason.FORBIDDEN, "the token is another device's")
        _sign(session, access)
        return _result({"expires_at": access.expires * 1000})

    @property
    def idle(self) -> bool:
        return self._task is None

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._batch]
                del self._waiting[: self._batch]
                await self._open(batch)
        finally:
            self._task = None

    async def _open(self, batch: list[_Opening]) -> None:
        refusals: dict[int, CallError] = {}
        try:
            async with asyncio.timeout(self._timeout):
                await self._join(batch, refusals)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("open_failed", sessions=len(batch), error=str(error))
            for opening in batch:
                refusals[opening.session.number] = CallError(Reason.UNAVAILABLE, retry_after=1)
        now = int(time.time() * 1000)
        for opening in batch:
            session = opening.session
            session.left = None
            refusal = refusals.get(session.number)
            if refusal is None and not session.closing:
                session.opened = True
                self._emitter.opened(session)
                opening.answer(_result(self._opened(session, now)))
                continue
            self._subscriptions.drop(session)
            session.uid = session.device = None
            opening.answer(refused(refusal or CallError(Reason.UNAUTHENTICATED)))
        self._registry.changed()

    async def _join(self, batch: list[_Opening], refusals: dict[int, CallError]) -> None:
        for opening in batch:
            if opening.session.uid is not None and not opening.session.closing:
                self._subscriptions.subscribe(opening.session, channels.user(opening.session.uid))
        await self._registry.flush()
        async with self._redis.pipeline(transaction=False) as pipe:
            for opening in batch:
                pipe.get(keys.device(opening.session.device or ""))
            devices = await pipe.execute()
        for opening, device in zip(batch, devices, strict=True):
            if device == b"0":
                refusals[opening.session.number] = CallError(
                    Reason.UNAUTHENTICATED, "the device is signed out"
                )
        for source in self._routes().channel_sources:
            await self._ask(source.function, batch, refusals)
        await self._registry.flush()

    async def _ask(
        self, function: str, batch: list[_Opening], refusals: dict[int, CallError]
    ) -> None:
        calls = [
            Pending(CHANNELS, opening.params.device.model_dump(), 0, opening.session, _ignore)
            for opening in batch
            if opening.session.number not in refusals and not opening.session.closing
        ]
        if not calls:
            return
        for call, answer in zip(calls, await self._forward(function, calls), strict=True):
            session = call.session
            found = orjson.loads(answer)
            if "error" in found:
                refusals[session.number] = CallError(Reason.UNAVAILABLE, retry_after=1)
                continue
            for channel in found["result"]["channels"]:
                if channel not in (session.left or ()) and not session.closing:
                    self._subscriptions.subscribe(session, channel)

    def _opened(self, session: Session, now: int) -> dict[str, Any]:
        return {
            "uid": session.uid,
            "sid": session.sid,
            "expires_at": int(session.expires * 1000),
            "server_time": now,
            "limits": self._limits,
        }


def _sign(session: Session, access: Access) -> None:
    session.uid = access.uid
    session.device = access.device
    session.roles = access.roles
    session.expires = access.expires


def _parsed(model: type[M], params: dict[str, Any]) -> M:
    try:
        return model.model_validate(params)
    except ValidationError as invalid:
        raise invalid_model(invalid) from None


def _result(value: dict[str, Any]) -> Answer:
    return orjson.dumps({"result": value})


def _ignore(answer: Answer) -> None:
    pass
