"""Before-hooks: functions that see calls before their own function does, and may refuse them.

The hooks of a method are asked one after another, in the order of their names, a batch at a time; a
call that one refuses goes no further. What becomes of calls whose hook fails or is too slow is that
hook's own policy.
"""

from collections.abc import Callable, Sequence

import orjson
import structlog

from connector.forwarder import Forwarder, TryAgainError, refused
from connector.lanes import Answer, Pending
from connector.routes import Hook, Routes
from shared.errors import CallError, Reason

logger = structlog.get_logger(__name__)

_PASSES = b'{"result":null}'
_FAILURES = frozenset({Reason.INTERNAL, Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.UNKNOWN_METHOD})


class Hooks:
    """Forwards calls to their function after their hooks let them pass."""

    def __init__(self, forwarder: Forwarder, routes: Callable[[], Routes]) -> None:
        self._forwarder = forwarder
        self._routes = routes

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        """As `Forwarder.forward`."""
        hooks = self._routes().hooks
        wanted = {hook for call in calls for hook in hooks.get(call.method, ())}
        if not wanted:
            return await self._forwarder.forward(function, calls)
        answers: dict[int, Answer] = {}
        for hook in sorted(wanted, key=lambda each: each.function):
            asked = [
                index
                for index, call in enumerate(calls)
                if index not in answers and hook in hooks.get(call.method, ())
            ]
            refusals = await self._ask(hook, [calls[index] for index in asked])
            found = zip(asked, refusals, strict=True)
            answers |= {index: refusal for index, refusal in found if refusal is not None}
        passed = [index for index in range(len(calls)) if index not in answers]
        results = await self._forwarder.forward(function, [calls[index] for index in passed])
        answers |= dict(zip(passed, results, strict=True))
        return [answers[index] for index in range(len(calls))]

    async def _ask(self, hook: Hook, calls: Sequence[Pending]) -> list[Answer | None]:
        """The refusal of each call, None for one that may pass."""
        if not calls:
            return []
        failed = refused(CallError(Reason.UNAVAILABLE, retry_after=1)) if hook.refuses else None
        try:
            answers = await self._forwarder.propose(hook.function, calls, hook.budget)
        except (TryAgainError, ValueError) as failure:
            logger.warning("hook_failed", function=hook.function, error=str(failure))
            return [failed] * len(calls)
        return [failed if _is_failure(answer) else _refusal(answer) for answer in answers]


def _refusal(answer: Answer) -> Answer | None:
    return None if answer == _PASSES else answer


def _is_failure(answer: Answer) -> bool:
    """Whether the hook itself went wrong, rather than refuse the call."""
    if answer == _PASSES:
        return False
    error = orjson.loads(answer).get("error")
    return error is None or error["data"]["reason"] in _FAILURES
