"""One HTTP call for a batch: CloudEvents 1.0 out, results in the same order back.

What may have been done already is repeated only where that is safe: calls with a `cid` (the
protocol promises it), and all calls where no connection was made. The others are answered
`unavailable` or `timeout`, and their clients decide.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import orjson
import structlog

from connector.backoff import Backoff
from connector.lanes import Answer, Pending
from shared.errors import CallError, Reason

logger = structlog.get_logger(__name__)

BATCH = "application/cloudevents-batch+json"
_BUSY = frozenset({429, 502, 503, 504})


class TryAgainError(Exception):
    """The batch did not come back. `reached` is whether a function may have seen it,
    `status` what HTTP said, if it did."""

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
        service_token: str,
        *,
        timeout: float,
        retry_for: float,
    ) -> None:
        self._http = http
        self._url = gateway_url.rstrip("/") + "/function/"
        self._source = f"/connector/{node}"
        self._headers = {"Content-Type": BATCH, "Authorization": f"Bearer {service_token}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(2.0, timeout))
        self._retry_for = retry_for
        self._number = 0

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        """An answer for each call, whatever happens. Never raises but for cancellation."""
        answers: list[Answer] = [b""] * len(calls)
        waiting = list(range(len(calls)))
        deadline = time.monotonic() + self._retry_for
        backoff = Backoff(0.05, 1.0)
        while waiting:
            try:
                batch = [self._event(calls[index]) for index in waiting]
                for index, answer in zip(waiting, await self.post(function, batch), strict=True):
                    answers[index] = answer
                break
            except TryAgainError as failure:
                again = time.monotonic() < deadline
                logger.warning(
                    "call_failed", function=function, calls=len(waiting), error=str(failure)
                )
                repeat = [
                    index
                    for index in waiting
                    if again and (not failure.reached or "cid" in calls[index].params)
                ]
                told = refused(CallError(failure.reason, retry_after=1))
                for index in set(waiting).difference(repeat):
                    answers[index] = told
                waiting = repeat
                await backoff.pause()
            except Exception as failure:
                logger.error("forward_broke", function=function, exc_info=failure)
                for index in waiting:
                    answers[index] = refused(CallError(Reason.INTERNAL))
                break
        return answers

    async def propose(
        self, function: str, calls: Sequence[Pending], seconds: float
    ) -> list[Answer]:
        """Shows calls to a before-hook: `{"result": null}` for one that may pass, or its error.
        Raises as `post` does, also after so many seconds."""
        events = [self._event(call) | {"kind": "before"} for call in calls]
        try:
            async with asyncio.timeout(seconds):
                return await self.post(function, events)
        except TimeoutError:
            raise TryAgainError("the hook is too slow", reached=True) from None

    async def post(self, function: str, events: Sequence[dict[str, Any]]) -> list[Answer]:
        """One HTTP call with a CloudEvents batch: an answer for each. Raises `TryAgainError` where
        no answers came back, `ValueError` where they make no sense."""
        body = orjson.dumps(events)
        try:
            async with self._http.post(
                self._url + function, data=body, headers=self._headers, timeout=self._timeout
            ) as response:
                status, text = response.status, await response.read()
        except aiohttp.ClientConnectorError as error:
            raise TryAgainError(str(error), reached=False) from None
        except TimeoutError:
            raise TryAgainError("timed out", reached=True, reason=Reason.TIMEOUT) from None
        except aiohttp.ClientError as error:
            raise TryAgainError(str(error) or type(error).__name__, reached=True) from None
        if status in _BUSY:
            raise TryAgainError(f"status {status}", reached=status != 429, status=status)
        if status == 404:
            return [refused(CallError(Reason.UNKNOWN_METHOD))] * len(events)
        if status != 200:
            raise ValueError(f"{function} answered {status}: {text[:200]!r}")
        answers: list[Answer] = text.split(b"\n")
        if len(answers) != len(events):
            raise ValueError(f"{function} gave {len(answers)} answers to {len(events)} calls")
        return answers

    def _event(self, call: Pending) -> dict[str, Any]:
        self._number += 1
        session = call.session
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{session.sid}-{self._number}",
            "source": self._source,
            "type": call.method,
            "sid": session.sid,
            "datacontenttype": "application/json",
            "data": call.params,
        }
        if session.uid is not None:
            event["uid"] = session.uid
            event["did"] = session.device
            if session.roles:
                event["roles"] = ",".join(session.roles)
        return event


def refused(refusal: CallError) -> Answer:
    return orjson.dumps({"error": refusal.as_dict()})
