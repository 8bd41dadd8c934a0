"""Which Redis soft state came from: its generation.

Redis may be emptied, restored from an old snapshot, or fail over to a replica that lacks the last
seconds, and what it says then was never true, or is not any more. So soft state belongs to a
generation. Its keys bear the generation's number, and Redis holds a *mark*: the number, and the
`run_id` of the process in which the generation began. State counts only while the mark is the one
it was written under.

- Whoever connects compares the `run_id` of the Redis it meets with the mark's, before its first
  command, and removes a mark of another process (`meet`). A restart, a restored snapshot, a
  promoted replica: each is another process.
- Whoever misses the mark raises the generation. MongoDB gives the number, so that none is used
  twice and the keys of earlier generations are never read again.
- A counter that collided shows that Redis went back unnoticed: that raises it as well.

The mark is read at the end of each pipeline, which costs no round trip. While it is what it was
when the work began, all of the work was done in that generation; otherwise the whole work, reads of
the record included, is done again in the present one. So work must be safe to repeat.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import redis
import structlog
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from redis.client import Pipeline

from shared import keys
from shared.collections import GENERATIONS, Document
from shared.errors import CallError, Reason
from shared.scripts import Script, execute
from shared.stores import database, redis_client

logger = structlog.get_logger(__name__)

T = TypeVar("T")

_REDIS = "redis"  # the record of its generations
_PAUSES = (0.0, 0.02, 0.1)  # seconds, before work whose connection was lost is done again
_ROUNDS = 10  # more than generations can pass during one piece of work, but by malice

# Marks the generation ARGV[1] where the mark is ARGV[2] or none; another one stays, as somebody was
# faster. Returns the mark.
_MARK = Script("""
local mark = redis.call('GET', KEYS[1])
if mark and mark ~= ARGV[2] then return mark end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
mark = ARGV[1] .. ':' .. run
redis.call('SET', KEYS[1], mark)
return mark
""")


class SupersededError(Exception):
    """The work was begun in a generation that is not the present one."""


class Generation(NamedTuple):
    """One generation: its number, and its mark as Redis holds it."""

    number: int
    mark: bytes

    def key(self, name: str) -> str:
        """A key of this generation."""
        return keys.of(self.number, name)

    def execute(self, pipe: Pipeline) -> list[Any]:
        """Executes a pipeline, which may hold scripts. Raises `SupersededError` where this was not
        the present generation to its end. Nothing is asked for nothing."""
        if not len(pipe):
            return []
        *answers, mark = execute(pipe, ("GET", keys.GENERATION))
        if mark != self.mark:
            raise SupersededError
        return answers


_NONE = Generation(0, b"")


class Generations:
    """The generations of one Redis. Safe under threads and processes."""

    def __init__(self, client: redis.Redis, generations: Collection[Document]) -> None:
        self._redis = client
        self._generations = generations
        self._known: Generation | None = None
        self._lock = Lock()

    def within(self, work: Callable[[Generation], T]) -> T:
        """What `work` returns, all of which was done in one generation. It is begun again where
        another one came meanwhile, and where a connection was lost (after a restart of Redis every
        pooled one is), for a moment. Raises `unavailable` where they pass too fast."""
        pauses = iter(_PAUSES)
        for _ in range(_ROUNDS):
            try:
                now = self.present()
                try:
                    return work(now)
                except SupersededError:
                    self._look_again(now)
            except redis.ConnectionError:
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
        raise CallError(Reason.UNAVAILABLE, "Redis is lost again and again", retry_after=1)

    def present(self) -> Generation:
        """The present generation, as far as this process knows."""
        return self._known or self._look_again(None)

    def supersede(self, stale: Generation, why: str) -> None:
        """This generation's state is found to be wrong: there is a next one, unless others have
        raised it already."""
        with self._lock:
            mark: Any = self._redis.get(keys.GENERATION)
            if mark == stale.mark:
                self._known = self._raised(stale, why)

    def _look_again(self, seen: Generation | None) -> Generation:
        """The present generation, where the one that was `seen` is none any more."""
        with self._lock:
            if self._known is not None and self._known != seen:
                return self._known
            mark: Any = self._redis.get(keys.GENERATION)
            found = None if mark is None else _parsed(mark)
            if found is None or (seen is not None and found.number < seen.number):
                found = self._raised(found or seen, "Redis has no mark")
            self._known = found
            return found

    def _raised(self, over: Generation | None, why: str) -> Generation:
        """The next generation in place of the one that is `over`; where somebody else was faster,
        theirs."""
        at_least = max(each.number for each in (over, self._known, _NONE) if each is not None)
        place = {"_id": _REDIS}
        # A record that was restored from a backup must not give a number again.
        with suppress(DuplicateKeyError):  # others made it a moment ago
            self._generations.update_one(place, {"$max": {"generation": at_least}}, upsert=True)
        raised: Any = self._generations.find_one_and_update(
            place, {"$inc": {"generation": 1}}, return_document=ReturnDocument.AFTER
        )
        with self._redis.pipeline(transaction=False) as pipe:
            stale = b"" if over is None else over.mark
            _MARK.add(pipe, keys.GENERATION, raised["generation"], stale)
            marked = _parsed(execute(pipe)[0])
        logger.warning("generation_raised", generation=marked.number, why=why)
        return marked


def _parsed(mark: bytes) -> Generation:
    return Generation(int(mark.split(b":", 1)[0]), mark)


@cache
def generations() -> Generations:
    """The generations of this process's Redis."""
    return Generations(redis_client(), database()[GENERATIONS])
