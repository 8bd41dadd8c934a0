"""Before-hooks: functions that see calls before their own function does, and may refuse them.

The hooks of a method are asked one after another, in the order of their names, a batch at a time; a
call that one refuses goes no further. What becomes of calls whose hook fails or is too slow is that
hook's own policy.
"""

from collections.abc import Callable, Sequence

import structlog

from connector import answers
from connector.answers import Answer, refused
from connector.forwarder import Forwarder
from connector.lanes import Pending
from connector.routes import Hook, Routes
from shared.errors import CallError, Reason
from shared.subjects import about

logger = structlog.get_logger(__name__)

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
        found: dict[int, Answer] = {}
        for hook in sorted(wanted, key=lambda each: each.function):
            asked = [
                index
                for index, call in enumerate(calls)
                if index not in found and hook in hooks.get(call.method, ())
            ]
            refusals = await self._ask(hook, [calls[index] for index in asked])
            found |= {
                index: refusal
                for index, refusal in zip(asked, refusals, strict=True)
                if refusal is not None
            }
        passed = [index for index in range(len(calls)) if index not in found]
        results = await self._forwarder.forward(function, [calls[index] for index in passed])
        found |= zip(passed, results, strict=True)
        return [found[index] for index in range(len(calls))]

    async def _ask(self, hook: Hook, calls: Sequence[Pending]) -> list[Answer | None]:
        """The refusal of each call, None for one that may pass."""
        if not calls:
            return []
        failed = refused(CallError(Reason.UNAVAILABLE, retry_after=1)) if hook.refuses else None
        try:
            verdicts = await self._forwarder.propose(hook.function, calls, hook.budget)
        except Exception as failure:  # whatever it is, it is the hook's own
            with about(calls):
                logger.warning("hook_failed", function=hook.function, error=failure)
            return [failed] * len(calls)
        return [failed if _is_failure(each) else _refusal(each) for each in verdicts]


def _refusal(answer: Answer) -> Answer | None:
    return None if answer == answers.PASSED else answer


def _is_failure(answer: Answer) -> bool:
    """Whether the hook itself went wrong, rather than refuse the call."""
    if answer == answers.PASSED:
        return False
    error = answers.error(answer)
    return error is None or error["data"]["reason"] in _FAILURES
