"""Combining: threads that want the same done at the same time have it done by one of them.

Whoever comes while the work is under way waits, and one of those who wait then does the work of all
of them at once (flat combining: Hendler, Incze, Shavit and Tzafrir, 2010; databases call it group
commit). So an idle caller waits for nobody, and under load batches grow by themselves.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition
from typing import Any, Generic, TypeVar

from shared.subjects import about, subjects

T = TypeVar("T")
R = TypeVar("R")


class _Job(Generic[T, R]):
    """One caller's items, and what became of them."""

    __slots__ = ("failure", "items", "results", "subjects")

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.results: list[R] | None = None
        self.failure: Exception | None = None
        self.subjects: Sequence[Any] = subjects()


class Combiner(Generic[T, R]):
    """Work that is done by one thread at a time, for all who wait. Safe under threads."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], limit: int) -> None:
        """`work(items)` returns a result for each, in order; it gets at most `limit` items, unless
        one caller has more."""
        self._work = work
        self._limit = limit
        self._turn = Condition()
        self._busy = False
        self._waiting: deque[_Job[T, R]] = deque()

    def run(self, items: Sequence[T]) -> list[R]:
        """The results of these items. Raises what the work raised that they were part of."""
        job: _Job[T, R] = _Job(items)
        with self._turn:
            self._waiting.append(job)
        while True:
            with self._turn:
                while self._busy and job.results is None and job.failure is None:
                    self._turn.wait()
                if job.failure is not None:
                    raise job.failure
                if job.results is not None:
                    return job.results
                self._busy = True
                jobs = self._next()
            try:
                self._do(jobs)
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()

    def _next(self) -> list[_Job[T, R]]:
        jobs = [self._waiting.popleft()]
        room = self._limit - len(jobs[0].items)
        while self._waiting and len(self._waiting[0].items) <= room:
            jobs.append(self._waiting.popleft())
            room -= len(jobs[-1].items)
        return jobs

    def _do(self, jobs: Sequence[_Job[T, R]]) -> None:
        with about([each for job in jobs for each in job.subjects]):
            try:
                results = self._work([item for job in jobs for item in job.items])
            except Exception as failure:
                for job in jobs:
                    job.failure = failure
                return
        start = 0
        for job in jobs:
            job.results = list(results[start : start + len(job.items)])
            start += len(job.items)
