"""The newest entry of each log, as soft state for lists of conversations.

A tail moves only after its entry was published, so a tail at or above a number means that this
entry, or a later one that makes clients fetch it, was announced. `changed` is Redis' own clock, so
that whoever reads the clock before the tails misses no change.

In Redis a tail is one string, `SEQ:CHANGED:` and the entry as all may see it, sealed: thousands are
read by one command.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson
import redis
from redis.client import Pipeline

from shared import keys
from shared.collections import Document
from shared.content import Keyring
from shared.entry import shown
from shared.scripts import Script, execute

_ADVANCE = Script("""
local tail = redis.call('GET', KEYS[1])
if tail and tonumber(string.match(tail, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
local time = redis.call('TIME')
local changed = time[1] * 1000 + math.floor(time[2] / 1000)
local text = ARGV[1] .. ':' .. string.format('%.0f', changed) .. ':' .. ARGV[2]
redis.call('SET', KEYS[1], text, 'EX', ARGV[3])
return 1
""")


class Tail(NamedTuple):
    """`seq` is 0 where the log is empty; `changed` is in ms."""

    seq: int
    changed: int
    sealed: bytes = b""


EMPTY = Tail(0, 0)


class Tails:
    """Tails of all logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        content: Keyring,
        newest: Callable[[Sequence[str]], dict[str, Document]],
        lifetime: int,
    ) -> None:
        """`newest(convs)` reads the newest stored entry of each log that has one; `lifetime` is
        the seconds an idle tail is kept."""
        self._redis = client
        self._content = content
        self._newest = newest
        self._lifetime = lifetime

    def advance(self, pipe: Pipeline, conv: str, seq: int, entry: bytes) -> None:
        """Adds to a pipeline: this entry (JSON) is the log's tail, unless a later one is."""
        sealed = self._content.seal(conv, f"tail {seq}", entry)
        _ADVANCE.add(pipe, keys.tail(conv), seq, sealed, self._lifetime)

    def read(self, convs: Sequence[str]) -> dict[str, Tail]:
        """The tail of each log; what Redis lost is read from the store and kept again."""
        tails = self._kept(convs)
        missing = [conv for conv in convs if conv not in tails]
        if missing:
            documents = self._newest(missing)
            with self._redis.pipeline(transaction=False) as pipe:
                for conv, document in documents.items():
                    entry = orjson.dumps(shown(document, None, self._content))
                    self.advance(pipe, conv, document["seq"], entry)
                for conv in set(missing).difference(documents):
                    # That a log is empty is kept as well; its first entry moves the tail on.
                    _ADVANCE.add(pipe, keys.tail(conv), 0, b"", self._lifetime)
                execute(pipe)
            tails |= self._kept(list(documents))
            tails |= {conv: EMPTY for conv in missing if conv not in documents}
        return tails

    def seqs(self, convs: Sequence[str]) -> dict[str, int]:
        """The number of each log's tail, 0 where Redis has none."""
        kept = self._kept(convs)
        return {conv: kept.get(conv, EMPTY).seq for conv in convs}

    def entry(self, conv: str, tail: Tail) -> orjson.Fragment | None:
        """The entry as all may see it, None where there is none; ready to go into an answer."""
        if not tail.sealed:
            return None
        return orjson.Fragment(self._content.open(conv, f"tail {tail.seq}", tail.sealed))

    def _kept(self, convs: Iterable[str]) -> dict[str, Tail]:
        wanted = list(convs)
        if not wanted:
            return {}
        found: Any = self._redis.mget([keys.tail(conv) for conv in wanted])
        return {conv: _parsed(text) for conv, text in zip(wanted, found, strict=True) if text}


def _parsed(text: bytes) -> Tail:
    seq, changed, sealed = text.split(b":", 2)
    return Tail(int(seq), int(changed), sealed)
