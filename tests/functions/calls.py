"""Batches as a connector sends them, signed with its key, straight into a function's `handle`."""

import zlib
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import orjson

from shared import secretfiles, signatures
from shared.doors import BATCH
from shared.function import Function
from shared.settings import settings


class Asked(NamedTuple):
    """A call. `params` may hold `orjson.Fragment`s, for JSON that Python has no value for."""

    method: str
    params: Any
    uid: str | None = None
    session: str | None = None

    @property
    def ip(self) -> str:
        """Who names somebody else comes from somewhere else: what one network may do is not what
        is tested by this."""
        name = self.params.get("username") if isinstance(self.params, dict) else None
        number = zlib.crc32(str(name).encode(errors="replace"))
        return f"10.{number % 256}.{number // 256 % 256}.1"

    def event(self) -> dict[str, Any]:
        who = {"uid": self.uid, "did": self.uid and "device", "sid": self.session}
        return {
            "specversion": "1.0",
            "id": "1",
            "source": "/test",
            "type": self.method,
            "data": self.params,
            "ip": self.ip,
            **{name: value for name, value in who.items() if value is not None},
        }


class Outcome(NamedTuple):
    """What a caller notices first: whether it was done, or else the error's code and reason."""

    code: int = 0
    reason: str = "ok"


def post(function: Function, events: Sequence[Any]) -> list[dict[str, Any]]:
    """What `handle` answers to each event of one batch."""
    body = orjson.dumps(list(events))
    headers = {"Content-Type": BATCH, signatures.HEADER: signer().sign(function.name, body)}
    request = SimpleNamespace(body=body, headers=headers, method="POST", path="/", query={})
    text, status, _ = function.handle(request, None)
    assert status == 200, text
    answers = [orjson.loads(line) for line in text.split(b"\n")] if events else []
    assert len(answers) == len(events)
    return answers


def ask(function: Function, calls: Sequence[Asked]) -> list[dict[str, Any]]:
    """The answers to these calls as one batch."""
    return post(function, [call.event() for call in calls])


def outcome(answer: dict[str, Any]) -> Outcome:
    """What became of a call. Raises where the answer is neither a result nor an error."""
    if set(answer) == {"result"}:
        return Outcome()
    (error,) = answer.values()
    return Outcome(error["code"], error["data"]["reason"])


@cache
def signer() -> signatures.Signer:
    return signatures.Signer(secretfiles.read(settings().secrets_dir, secretfiles.CONNECTOR_KEY))
