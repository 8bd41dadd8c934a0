"""The newest entry of each log, as soft state for lists of conversations.

A tail moves only after its entry was published, so a tail at or above a number means that this
entry, or a later one that makes clients fetch it, was announced. `changed` is Redis' own clock, so
that whoever reads the clock before the tails misses no change.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import bson
import redis
from redis.client import Pipeline

from shared import keys
from shared.collections import Document
from shared.scripts import Script, execute

_ADVANCE = Script("""
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq or tonumber(seq) < tonumber(ARGV[1]) then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'entry', ARGV[2],
             'changed', time[1] * 1000 + math.floor(time[2] / 1000))
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")


@dataclass(frozen=True, slots=True)
class Tail:
    seq: int
    changed: int  # ms
    entry: Document | None


class Tails:
    """Tails of all logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        newest: Callable[[Sequence[str]], dict[str, Document]],
        lifetime: int,
    ) -> None:
        """`newest(convs)` reads the newest stored entry of each log that has one."""
        self._redis = client
        self._newest = newest
        self._lifetime = lifetime

    def advance(self, pipe: Pipeline, documents: Iterable[Document]) -> None:
        """Adds to a pipeline: each document is its log's tail, unless a later one is."""
        for document in documents:
            _ADVANCE.add(
                pipe,
                keys.tail(document["conv"]),
                document["seq"],
                bson.encode(document),
                self._lifetime,
            )

    def read(self, convs: Sequence[str]) -> dict[str, Tail]:
        """The tail of each log; what Redis lost is read from the store and kept again."""
        tails = self._kept(convs)
        missing = [conv for conv in convs if conv not in tails]
        if missing:
            documents = self._newest(missing)
            with self._redis.pipeline(transaction=False) as pipe:
                self.advance(pipe, documents.values())
                execute(pipe)
            tails |= self._kept(list(documents))
            tails |= {conv: Tail(0, 0, None) for conv in missing if conv not in documents}
        return tails

    def seqs(self, convs: Sequence[str]) -> dict[str, int]:
        """The number of each log's tail, 0 where Redis has none."""
        with self._redis.pipeline(transaction=False) as pipe:
            for conv in convs:
                pipe.hget(keys.tail(conv), "seq")
            return {conv: int(seq or 0) for conv, seq in zip(convs, pipe.execute(), strict=True)}

    def _kept(self, convs: Sequence[str]) -> dict[str, Tail]:
        with self._redis.pipeline(transaction=False) as pipe:
            for conv in convs:
                pipe.hmget(keys.tail(conv), "seq", "changed", "entry")
            answers = pipe.execute()
        return {
            conv: Tail(int(seq), int(changed), bson.decode(entry))
            for conv, (seq, changed, entry) in zip(convs, answers, strict=True)
            if seq is not None
        }
