"""One HTTP call for a batch: signed CloudEvents 1.0 out, results in the same order back.

What may have been done already is repeated only where that is safe: calls with a `cid` (the
protocol promises it), those that only read, and all calls where no connection was made. The others
are answered `unavailable` or `timeout`, and their clients decide. Whatever else a function answers
than our lines is its own failure, and treated in the same way.

Events are encoded one by one: one that cannot be encoded is refused, and the batch goes on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import aiohttp
import orjson
import structlog

from connector import answers, metrics
from connector.answers import Answer, NonsenseError, refused
from connector.backoff import Backoff
from connector.lanes import Pending
from connector.routes import RESERVED, Routes
from shared import signatures
from shared.errors import CallError, Reason
from shared.tracebacks import told

logger = structlog.get_logger(__name__)

BATCH = "application/cloudevents-batch+json"
_BUSY = frozenset({429, 502, 503, 504})


class TryAgainError(Exception):
    """The batch did not come back. `reached` is whether a function may have seen it,
    `status` what HTTP said, if it did."""

    plain = True

    def __init__(
        self,
        why: str,
        reached: bool,
        reason: Reason = Reason.UNAVAILABLE,
        status: int | None = None,
    ) -> None:
        super().__init__(why)
        self.status = status
        self.reached = reached
        self.reason = reason


class Forwarder:
    """Calls functions through the gateway."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        gateway_url: str,
        node: str,
        signer: signatures.Signer,
        routes: Callable[[], Routes],
        *,
        timeout: float,
        retry_for: float,
        answer_limit: int,
    ) -> None:
        """`timeout` bounds one HTTP call, `retry_for` all repetitions, in seconds; `answer_limit`
        the bytes of the answer to a batch."""
        self._http = http
        self._url = gateway_url.rstrip("/") + "/function/"
        self._source = orjson.dumps(f"/connector/{node}")
        self._signer = signer
        self._routes = routes
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(2.0, timeout))
        self._retry_for = retry_for
        self._answer_limit = answer_limit

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        """An answer for each call, whatever happens. Never raises but for cancellation."""
        found: dict[int, Answer] = {}
        events = self._encoded(calls, b"", found)
        deadline = time.monotonic() + self._retry_for
        backoff = Backoff(0.05, 1.0)
        while events:
            try:
                answered = await self.post(function, list(events.values()))
                found |= zip(events, answered, strict=True)
                break
            except TryAgainError as failure:
                again = time.monotonic() < deadline
                logger.warning(
                    "call_failed",
                    function=function,
                    calls=len(events),
                    request=[calls[index].request_id for index in events],
                    error=failure,
                )
                repeat = [
                    index
                    for index in events
                    if again and (not failure.reached or self._is_safe(calls[index]))
                ]
                told = refused(CallError(failure.reason, retry_after=1))
                found |= dict.fromkeys(set(events).difference(repeat), told)
                events = {index: events[index] for index in repeat}
                if events:
                    await backoff.pause()
            except Exception as failure:
                ids = [calls[index].request_id for index in events]
                logger.error("forward_broke", function=function, request=ids, exc_info=failure)
                found |= dict.fromkeys(events, refused(CallError(Reason.INTERNAL)))
                break
        return [found[index] for index in range(len(calls))]

    async def propose(
        self, function: str, calls: Sequence[Pending], seconds: float
    ) -> list[Answer]:
        """Shows calls to a before-hook: `{"result": null}` for one that may pass, or its error.
        Raises as `post` does, also after so many seconds."""
        found: dict[int, Answer] = {}
        events = self._encoded(calls, b'"kind":"before",', found)
        try:
            async with asyncio.timeout(seconds):
                answered = await self.post(function, list(events.values()))
        except TimeoutError:
            raise TryAgainError("the hook is too slow", reached=True) from None
        found |= zip(events, answered, strict=True)
        return [found[index] for index in range(len(calls))]

    async def post(self, function: str, events: Sequence[bytes]) -> list[Answer]:
        """One HTTP call with a CloudEvents batch: a checked answer for each. Raises `TryAgainError`
        where none came back, or none that makes sense."""
        body = b"[%b]" % b",".join(events)
        headers = {
            "Content-Type": BATCH,
            "Accept-Encoding": "identity",
            signatures.HEADER: self._signer.sign(function, body),
        }
        try:
            async with self._http.post(
                self._url + function,
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                status, text = response.status, await self._read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryAgainError(told(error), reached=False) from None
        except TimeoutError:
            raise TryAgainError("timed out", reached=True, reason=Reason.TIMEOUT) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgainError(told(error), reached=True) from None
        except ValueError as error:  # what is no HTTP
            raise TryAgainError(f"no answer: {told(error)}", reached=True) from None
        if status in _BUSY:
            raise TryAgainError(f"status {status}", reached=status != 429, status=status)
        if status == 404:
            return [refused(CallError(Reason.UNKNOWN_METHOD))] * len(events)
        try:
            if status != 200:
                raise NonsenseError(f"status {status}, {len(text)} bytes")
            return answers.parse(text, len(events))
        except NonsenseError as error:
            metrics.NONSENSE.labels(function).inc()
            raise TryAgainError(str(error), reached=True, status=status) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, as far as anybody wants to know it."""
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._answer_limit:
                response.close()
                metrics.NONSENSE.labels(response.url.name).inc()
                raise TryAgainError(f"more than {self._answer_limit} bytes", reached=True)
            parts.append(part)
        return b"".join(parts)

    def _is_safe(self, call: Pending) -> bool:
        routes = self._routes()
        if call.method in routes.reads or call.method.startswith(RESERVED):
            return True
        # Public methods take no cid: one that is sent all the same protects from nothing.
        route = routes.methods.get(call.method)
        return "cid" in call.params and not (route is not None and route.public)

    def _encoded(
        self, calls: Sequence[Pending], mark: bytes, refusals: dict[int, Answer]
    ) -> dict[int, bytes]:
        """The calls' events by index; the refusal of one that cannot be encoded is put beside."""
        events: dict[int, bytes] = {}
        for index, call in enumerate(calls):
            try:
                events[index] = self._event(call, mark)
            except TypeError as error:
                logger.warning(
                    "call_unwritable", method=call.method, request=call.request_id, error=error
                )
                refusals[index] = refused(CallError(Reason.INVALID_REQUEST, "cannot be passed on"))
        return events

    def _event(self, call: Pending, mark: bytes) -> bytes:
        """Raises `TypeError` for params that cannot be encoded."""
        return b'{"specversion":"1.0","id":"%b","source":%b,"type":%b,%b%b,"data":%b}' % (
            call.request_id.encode(),
            self._source,
            orjson.dumps(call.method),
            mark,
            call.caller or call.session.caller,
            orjson.dumps(call.params),
        )


def encoded(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """Events of our own making, for `Forwarder.post`."""
    return [orjson.dumps(event) for event in events]
