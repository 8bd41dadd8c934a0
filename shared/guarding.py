"""One call's failure is its own: the guards by which a batch is no shared fate."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import wait
from functools import cache
from typing import TypeVar

import redis
import structlog
from pymongo.errors import PyMongoError

from shared.errors import CallError, Reason
from shared.subjects import about
from shared.threads import Pool

logger = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 16


def refusal(failure: Exception, where: str) -> CallError:
    """What a caller is told of a failure: a `CallError` itself, `unavailable` for a store that does
    not answer, `internal` for all else."""
    if isinstance(failure, CallError):
        return failure
    if isinstance(failure, PyMongoError | redis.RedisError):
        logger.warning("store_failed", where=where, error=failure)
        return CallError(Reason.UNAVAILABLE, retry_after=1)
    logger.error("call_broke", where=where, exc_info=failure)
    return CallError(Reason.INTERNAL)


def each(items: Iterable[T], work: Callable[[T], R], where: str) -> list[R | CallError]:
    """The work done for each item in turn; what fails is that item's refusal."""
    answers: list[R | CallError] = []
    for item in items:
        with about((item,)):
            try:
                answers.append(work(item))
            except Exception as failure:
                answers.append(refusal(failure, where))
    return answers


def side_by_side(
    items: Sequence[T], key: Callable[[T], Hashable], work: Callable[[T], R], where: str
) -> list[R | CallError]:
    """The same, where only the items of one key wait for each other, in their order."""
    if not items:
        return []
    queues: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        queues.setdefault(key(item), []).append(index)
    answers: dict[int, R | CallError] = {}

    def run(indexes: list[int]) -> None:
        found = each([items[index] for index in indexes], work, where)
        answers.update(zip(indexes, found, strict=True))

    first, *others = queues.values()
    under_way = [_pool().submit(run, queue) for queue in others]
    run(first)
    wait(under_way)
    return [answers[index] for index in range(len(items))]


def together(
    items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R | CallError]], where: str
) -> list[R | CallError]:
    """The work done for all at once. Where it fails, the halves do it alone, until what is at fault
    stands by itself; only a store that does not answer is everybody's."""
    with about(items):
        try:
            answers = list(work(items))
            if len(answers) != len(items):
                raise AssertionError(f"{len(answers)} answers to {len(items)} calls")
            return answers
        except Exception as failure:
            refused = refusal(failure, where)
    if len(items) == 1 or refused.reason in (Reason.UNAVAILABLE, Reason.TIMEOUT):
        return [refused] * len(items)
    middle = len(items) // 2
    return together(items[:middle], work, where) + together(items[middle:], work, where)


@cache
def _pool() -> Pool:
    return Pool(_THREADS, thread_name_prefix="side")
