"""The last step of an answer: an error gets the id of its request, and the log says what failed.

What a client is told of a failure of ours is in the log under the same id. A failure is many calls'
at once, so there is one line for all of a kind in a turn of the loop, with all their ids.
"""

import asyncio

import orjson
import structlog

from connector import answers
from connector.answers import Answer
from shared.errors import Code

logger = structlog.get_logger(__name__)

_OURS = frozenset({int(Code.INTERNAL), int(Code.TRY_AGAIN)})
_RESULT = b'{"result"'
_IDS = 256  # in a line

Kind = tuple[str, str]  # method, reason


class Failures:
    """Of one connector."""

    def __init__(self) -> None:
        self._unsaid: dict[Kind, list[str]] = {}

    def named(self, answer: Answer, request_id: str, method: str) -> Answer:
        """The answer, and where it is an error with `data.id`. `method` is one of ours, or empty:
        what else a client calls is its own words."""
        if answer.startswith(_RESULT):
            return answer
        error = answers.error(answer)
        if error is None:
            return answer
        error["data"]["id"] = request_id
        if error["code"] in _OURS:
            self._note((method, str(error["data"]["reason"])), request_id)
        return orjson.dumps({"error": error})

    def _note(self, kind: Kind, request_id: str) -> None:
        if not self._unsaid:
            asyncio.get_running_loop().call_soon(self._say)
        self._unsaid.setdefault(kind, []).append(request_id)

    def _say(self) -> None:
        unsaid, self._unsaid = self._unsaid, {}
        for (method, reason), ids in unsaid.items():
            for start in range(0, len(ids), _IDS):
                some = ids[start : start + _IDS]
                logger.warning("calls_failed", method=method, reason=reason, request=some)
