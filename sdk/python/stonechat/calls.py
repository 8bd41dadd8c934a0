"""Calls and their answers: kept, sent in order, repeated until the server settles them."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from stonechat import errors, shape
from stonechat.connection import Connection
from stonechat.errors import StonechatError, TooLarge
from stonechat.outbox import Command, Outbox
from stonechat.pace import Pace
from stonechat.state import State

_LONGEST_HOLD = 10.0  # seconds, where the server names no longer pause
_RENEWABLE = ("unauthenticated", "token_expired")
_YOUNG = 60.0  # seconds: a session is not given up for one call's sake before
_LEVELS = 64  # objects and arrays within each other: the server takes no more

logger = logging.getLogger("stonechat")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may do. The defaults are for servers that do not say."""

    frame_bytes: int = 64 * 1024
    calls_per_second: float = 1000.0
    burst: float = 1000
    in_flight: int = 256

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Calls:
    """The outbox with a connection under it, now and then. No task and no timer for a single call:
    everything asked for in one turn of the loop is kept in one transaction and then sent."""

    def __init__(
        self,
        state: State,
        limit: int,
        numbers: Iterator[int],
        settled: Callable[[Command, Any], None],
    ) -> None:
        """`settled(command, result)` is called before whoever asked gets the result."""
        self._state = state
        self._numbers = numbers
        self._settled = settled
        self._outbox = Outbox(limit)
        self._connection: Connection | None = None
        self._since = 0.0  # when the session was opened
        self._new: list[Command] = []  # with a cid, and not kept yet
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._limits = Limits()
        self._ended: Exception | None = None

    def load(self) -> None:
        """Takes over what an earlier process left."""
        for method, params in self._state.kept():
            self._outbox.put(Command(next(self._numbers), method, params), bounded=False)

    def connected(self, connection: Connection, limits: Limits, uid: str) -> None:
        """There is a session of this person with these limits: what waits is sent."""
        self._connection, self._since = connection, time.monotonic()
        self._limits = limits
        for command in self._outbox.larger(limits.frame_bytes):
            # Sent to a server that takes less, it would close the connection each time.
            self._refused(command, self._too_large())
        pace = Pace(limits.calls_per_second, limits.burst, time.monotonic())
        # One less than the server takes before it stops reading.
        self._outbox.connected(max(1, limits.in_flight - 1), pace, uid)
        self._flush()

    def disconnected(self) -> None:
        self._connection = None
        self._outbox.disconnected()

    def end(self, error: Exception) -> None:
        """Whoever waits, or will, gets this error. What is not answered stays in the state."""
        self._keep()
        self._ended = error
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
        for command in self._outbox.drain():
            _fail(command, error)

    async def ask(
        self, method: str, params: dict[str, Any], seconds: float | None, *, bounded: bool = True
    ) -> Any:
        """The result, after `seconds` at most. Raises what `Client.send` and `Client.call` say."""
        if self._ended is not None:
            raise self._ended
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        command = Command(next(self._numbers), method, params, answered)
        if len(command.frame) > self._limits.frame_bytes:
            raise self._too_large()
        if command.frame.count(b"{") + command.frame.count(b"[") > _LEVELS and _deeper(params):
            # Many in a row would end the session, as what no client means to send.
            raise ValueError(f"the params of {method} have more than {_LEVELS} levels")
        self._outbox.put(command, bounded=bounded)
        if command.cid is not None:
            self._new.append(command)
        self._flush_soon()
        try:
            # Not `wait_for`, which before Python 3.12 may swallow a cancellation.
            async with asyncio.timeout(seconds):
                return await answered
        except TimeoutError:
            self._keep()
            self._done(command)
            raise TimeoutError(f"no answer to {method} in {seconds:g} s") from None

    def answer(self, message: dict[str, Any]) -> None:
        """What came in answer to a call; to one that is settled already, nothing happens."""
        self._outbox.heard(time.monotonic())
        command = self._outbox.get(message.get("id"))
        if command is None:
            return
        self._flush_soon()
        try:
            found = errors.result(message)
        except StonechatError as error:
            self._refused(command, error)
            return
        try:
            # Settled before dropped: a process that dies between the two asks again.
            self._settled(command, found)
        finally:
            if command.answered is not None and not command.answered.done():
                command.answered.set_result(found)
            self._done(command)

    def _too_large(self) -> TooLarge:
        told = f"a call has at most {self._limits.frame_bytes} bytes as JSON"
        return TooLarge(-32007, told, {"reason": "too_large"})

    def _refused(self, command: Command, error: StonechatError) -> None:
        if isinstance(error, errors.TryAgain | errors.TooFast):
            least = min(0.1 * 2.0 ** min(command.tries, 30), _LONGEST_HOLD)
            pause = max(error.retry_after, least)
            jitter = random.uniform(1.0, 1.5)  # noqa: S311
            self._outbox.hold(command, time.monotonic() + pause * jitter)
            return
        expired = isinstance(error, errors.Unauthenticated) and error.reason in _RENEWABLE
        old = time.monotonic() - self._since > _YOUNG
        if expired and old and not command.tries and self._connection is not None:
            # The session ended under the call; the next one, with a new token, takes it again.
            self._outbox.again(command)
            self._connection.close()
            return
        if command.answered is None:
            logger.warning("a kept %s was refused: %s", command.method, error)
        _fail(command, error)
        self._done(command)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._ended is not None:
            return
        self._keep()
        if self._connection is None:
            return
        if self._outbox.overdue(time.monotonic()):
            logger.warning("a call was not answered: trying another connection")
            self._connection.close()
            return
        for command in self._outbox.take(time.monotonic()):
            self._connection.send(command.frame)
        if self._timer is not None:
            self._timer.cancel()
        wait = self._outbox.wait(time.monotonic())
        loop = asyncio.get_running_loop()
        self._timer = None if wait is None else loop.call_later(wait, self._flush_soon)

    def _keep(self) -> None:
        if self._new:
            self._state.keep([(command.method, command.params) for command in self._new])
            self._new.clear()

    def _done(self, command: Command) -> None:
        self._outbox.remove(command)
        if command.cid is not None:
            self._state.drop(command.cid)


def _fail(command: Command, error: Exception) -> None:
    if command.answered is not None and not command.answered.done():
        command.answered.set_exception(error)
        command.answered.exception()  # nobody may be waiting any more


def _deeper(params: dict[str, Any]) -> bool:
    """Whether a request with these params has too many levels."""
    within: list[Any] = [params]
    for _ in range(_LEVELS - 1):
        outers, within = within, []
        for outer in outers:
            values = outer.values() if isinstance(outer, dict) else outer
            within += [each for each in values if isinstance(each, dict | list | tuple)]
        if not within:
            return False
    return True
