"""What a function answered to a batch: checked here, once, so that nobody behind it meets nonsense.

An answer is one line, `{"result": …}` or `{"error": {"code", "message", "data": {"reason", …}}}`,
and is passed on as it came.
"""

import math
from typing import Any

import orjson

from shared.errors import CallError

Answer = bytes  # a JSON object: {"result": …} or {"error": …}

PASSED = b'{"result":null}'  # of a hook that lets a call pass, or a handler that has handled


class NonsenseError(ValueError):
    """The function's answer means nothing. The message says why."""

    plain = True


def parse(text: bytes, count: int) -> list[Answer]:
    """The answers to so many calls. Raises `NonsenseError`."""
    lines = text.strip(b"\n").split(b"\n")
    if len(lines) != count:
        raise NonsenseError(f"{len(lines)} answers to {count} calls")
    return [_checked(line) for line in lines]


def refused(refusal: CallError) -> Answer:
    return orjson.dumps({"error": refusal.as_dict()})


def error(answer: Answer) -> dict[str, Any] | None:
    """The error in a checked answer, None where it is a result."""
    found: dict[str, Any] | None = orjson.loads(answer).get("error")
    return found


def result(answer: Answer) -> Any:
    """The result in a checked answer, None where it is an error."""
    return orjson.loads(answer).get("result")


def _checked(line: bytes) -> Answer:
    line = line.strip()
    if line == PASSED:
        return line
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise NonsenseError(f"no JSON in {len(line)} bytes") from None
    if not (isinstance(answer, dict) and len(answer) == 1):
        raise NonsenseError("neither a result nor an error")
    if "result" not in answer and not _is_error(answer.get("error")):
        raise NonsenseError("no error of ours")
    return line


def _is_error(value: Any) -> bool:
    if not (isinstance(value, dict) and type(value.get("code")) is int):
        return False
    data = value.get("data")
    if not (isinstance(value.get("message"), str) and isinstance(data, dict)):
        return False
    wait = data.get("retry_after", 0)
    is_time = type(wait) in (int, float) and math.isfinite(wait) and wait >= 0
    return isinstance(data.get("reason"), str) and is_time
