"""Threads that know whose work they do: a log line of theirs says it as any other does.

Context variables do not cross threads by themselves. Whoever hands work to another thread does it
through these.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

P = ParamSpec("P")
R = TypeVar("R")

logger = structlog.get_logger(__name__)


class Pool(ThreadPoolExecutor):
    """Threads that do what they are given as if whoever gave it did it."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return super().submit(partial(copy_context().run, fn), *args, **kwargs)


def carried(work: Callable[[], R]) -> Callable[[], R]:
    """The same work, to be done once by another thread."""
    return partial(copy_context().run, work)


def start(name: str, work: Callable[[], None]) -> None:
    """Has it done by a thread of its own, which does not keep the process alive. Should it break,
    that is logged."""

    def run() -> None:
        try:
            work()
        except Exception:
            logger.exception("thread_broke", thread=name)

    threading.Thread(target=run, name=name, daemon=True).start()
