"""The newest entry of each log, as soft state for lists of conversations.

A tail moves only after its entry was published, so a tail at or above a number means that this
entry, or a later one that makes clients fetch it, was announced. `changed` is Redis' own clock, so
that whoever reads the clock before the tails misses no change.

In Redis a tail is one string, `SEQ:CHANGED:` and the entry as all may see it, sealed: thousands are
read by one command.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import redis
from redis.client import Pipeline

from shared import keys
from shared.collections import Document
from shared.content import Keyring
from shared.entry import listed, shown
from shared.scripts import Script, execute

# A number and an entry for each key; a tail only moves on.
_ADVANCE = Script("""
local time = redis.call('TIME')
local changed = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for index, key in ipairs(KEYS) do
  local seq, entry = ARGV[index * 2], ARGV[index * 2 + 1]
  local tail = redis.call('GET', key)
  if not tail or tonumber(string.match(tail, '^%d+')) < tonumber(seq) then
    redis.call('SET', key, seq .. ':' .. changed .. ':' .. entry, 'EX', ARGV[1])
  end
end
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

    def advance(self, pipe: Pipeline, newest: Mapping[str, tuple[int, bytes]]) -> None:
        """Adds to a pipeline: these entries (number and JSON, by conversation) are their logs'
        tails, unless later ones are. Number 0, of an empty log, has no entry."""
        arguments: list[Any] = []
        for conv, (seq, entry) in newest.items():
            sealed = self._content.seal(conv, f"tail {seq}", entry) if entry else b""
            arguments += [seq, sealed]
        if arguments:
            _ADVANCE.add(pipe, tuple(map(keys.tail, newest)), self._lifetime, *arguments)

    def read(self, convs: Sequence[str]) -> dict[str, Tail]:
        """The tail of each log; what Redis lost is read from the store and kept again."""
        tails = self._kept(convs)
        missing = [conv for conv in convs if conv not in tails]
        if missing:
            documents = self._newest(missing)
            with self._redis.pipeline(transaction=False) as pipe:
                newest = {
                    conv: (
                        document["seq"],
                        orjson.dumps(listed(shown(document, None, self._content))),
                    )
                    for conv, document in documents.items()
                }
                # That a log is empty is kept as well; its first entry moves the tail on.
                empty = dict.fromkeys(set(missing).difference(documents), (0, b""))
                self.advance(pipe, newest | empty)
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
