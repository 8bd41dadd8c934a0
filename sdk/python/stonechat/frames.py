"""What a connection brings, read so that nothing in it can break the connection.

The one law of everything that comes: a frame is made use of, or it is logged and counted; it never
raises, whatever is in it and whatever it makes the client do. Where an answer makes no sense its
call fails with `BadAnswer`; where an entry makes none it is an `unreadable` one.
"""

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import orjson

Message = dict[str, Any]

logger = logging.getLogger("stonechat")


class Frames:
    """Hands on each message that a frame holds. `senseless` is how many made none."""

    def __init__(self, take: Callable[[Message], None]) -> None:
        self.senseless = 0
        self._take = take

    def received(self, frame: bytes) -> None:
        try:
            message = _decoded(frame)
            if not isinstance(message, dict):
                raise TypeError("no JSON object")
            self._take(message)
        except Exception as error:  # the law above
            self.senseless += 1
            # Powers of two, so that a flood is not one in the log as well.
            if self.senseless & (self.senseless - 1) == 0:
                logger.warning(
                    "%s frames made no sense so far, this one: %s", self.senseless, error
                )


def _decoded(frame: bytes) -> Any:
    """The value in a frame. Not quite JSON will do, so that an answer finds its call: what is no
    Unicode is replaced, numbers that are none are None. Raises `ValueError`, `RecursionError`."""
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError:
        return _cleaned(json.loads(frame.decode(errors="replace")))


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_cleaned(each) for each in value]
        case dict():
            return {_cleaned(name): _cleaned(each) for name, each in value.items()}
    return value
