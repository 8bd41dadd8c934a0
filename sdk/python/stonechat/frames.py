"""What a connection brings, read so that nothing in it can break the connection.

The one law of everything that comes: a frame is made use of, or it is logged and counted; it never
raises, whatever is in it and whatever it makes the client do. Where an answer makes no sense its
call fails with `BadAnswer`; where an entry makes none it is an `unreadable` one.
"""

import logging
from collections.abc import Callable
from typing import Any

import orjson

Message = dict[str, Any]

logger = logging.getLogger("stonechat")


class Frames:
    """Hands on each message that a frame holds. `unread` is how many made no sense."""

    def __init__(self, take: Callable[[Message], None]) -> None:
        self.unread = 0
        self._take = take

    def received(self, frame: bytes) -> None:
        try:
            message = orjson.loads(frame)
            if not isinstance(message, dict):
                raise TypeError("no JSON object")
            self._take(message)
        except Exception as error:  # the law above
            self.unread += 1
            # Powers of two, so that a flood is not one in the log as well.
            if self.unread & (self.unread - 1) == 0:
                logger.warning("%s frames made no sense so far, this one: %s", self.unread, error)
