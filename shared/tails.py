"""The newest entry of each log, as soft state for lists of conversations.

A tail moves only after its entry was published, so a tail at or above a number means that this
entry, or a later one that makes clients fetch it, was announced. `changed` is Redis' own clock, so
that whoever reads the clock before the tails misses no change.

In Redis a tail is one string, `SEQ:CHANGED:` and the entry as all may see it, shortened and sealed:
thousands are read by one command, and without their entries where only numbers are asked for.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import redis
from redis.client import Pipeline

from shared import keys
from shared.collections import Document
from shared.content import ContentUnreadableError, Keyring
from shared.entry import listed, shown_all
from shared.scripts import Script, batched, execute
from shared.shortening import shortened

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

# The beginning of each tail.
_NUMBERS = Script("""
local found = {}
for index, key in ipairs(KEYS) do found[index] = redis.call('GETRANGE', key, 0, ARGV[1]) end
return found
""")
_NUMBERS_END = 40  # beyond both numbers and their colons


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
        body_limit: int,
    ) -> None:
        """`newest(convs)` reads the newest stored entry of each log that has one; `lifetime` is
        the seconds an idle tail is kept; longer bodies than `body_limit` bytes are shortened."""
        self._redis = client
        self._content = content
        self._newest = newest
        self._lifetime = lifetime
        self._body_limit = body_limit

    def advance(self, pipe: Pipeline, newest: Mapping[str, tuple[int, bytes]]) -> None:
        """Adds to a pipeline: these entries (number and JSON, by conversation) are their logs'
        tails, unless later ones are. Number 0, of an empty log, has no entry."""
        for part in batched(newest.items()):
            arguments: list[Any] = []
            for conv, (seq, entry) in part:
                arguments += [seq, self._seal(conv, seq, entry) if entry else b""]
            named = tuple(keys.tail(conv) for conv, _ in part)
            _ADVANCE.add(pipe, named, self._lifetime, *arguments)

    def numbers(self, convs: Sequence[str], *, recorded: bool = False) -> dict[str, Tail]:
        """The same as `read`, and no entries: bytes in proportion to the number of tails."""
        return self._read(self._numbers, convs, recorded=recorded)

    def read(self, convs: Sequence[str], *, recorded: bool = False) -> dict[str, Tail]:
        """The tail of each log; what Redis lost is read from the store and kept again. That a log
        is empty is kept only of those that are `recorded` to be somebody's: a name that a client
        made up leaves nothing."""
        return self._read(self._kept, convs, recorded=recorded)

    def seqs(self, convs: Sequence[str]) -> dict[str, int]:
        """The number of each log's tail, 0 where Redis has none."""
        kept = self._numbers(convs)
        return {conv: kept.get(conv, EMPTY).seq for conv in convs}

    def entries(self, tails: Mapping[str, Tail]) -> dict[str, orjson.Fragment]:
        """The entry of each tail that has one, as all may see it, ready to go into an answer. Of a
        tail that does not open, the newest entry in the store is shown."""
        opened: dict[str, orjson.Fragment] = {}
        closed: list[str] = []
        for conv, tail in tails.items():
            if not tail.sealed:
                continue
            try:
                entry = self._content.open(conv, f"tail {tail.seq}", tail.sealed)
                opened[conv] = orjson.Fragment(entry)
            except ContentUnreadableError:
                closed.append(conv)
        if closed:
            stored = self._shown(self._newest(closed))
            for each in stored:
                entry = shortened(orjson.dumps(each), self._body_limit)
                opened[each["conv"]] = orjson.Fragment(entry)
        return opened

    def _read(
        self,
        kept_of: Callable[[Iterable[str]], dict[str, Tail]],
        convs: Sequence[str],
        *,
        recorded: bool,
    ) -> dict[str, Tail]:
        tails = kept_of(convs)
        missing = [conv for conv in convs if conv not in tails]
        if missing:
            documents = self._newest(missing)
            entries = self._shown(documents)
            newest = {each["conv"]: (each["seq"], orjson.dumps(each)) for each in entries}
            # Others may read what this process cannot.
            unreadable = {each["conv"] for each in entries if "unreadable" in each}
            kept = {conv: newest[conv] for conv in newest if conv not in unreadable}
            if recorded:
                kept |= dict.fromkeys(set(missing).difference(documents), (0, b""))
            with self._redis.pipeline(transaction=False) as pipe:
                self.advance(pipe, kept)
                execute(pipe)
            now = time.time_ns() // 1_000_000
            tails |= dict.fromkeys(missing, EMPTY)
            tails |= {
                conv: Tail(seq, now, self._seal(conv, seq, entry))
                for conv, (seq, entry) in newest.items()
            }
            tails |= kept_of(newest)
        return tails

    def _shown(self, documents: Mapping[str, Document]) -> list[dict[str, Any]]:
        return shown_all(map(listed, documents.values()), None, self._content)

    def _seal(self, conv: str, seq: int, entry: bytes) -> bytes:
        return self._content.seal(conv, f"tail {seq}", shortened(entry, self._body_limit))

    def _kept(self, convs: Iterable[str]) -> dict[str, Tail]:
        wanted = list(convs)
        with self._redis.pipeline(transaction=False) as pipe:
            for part in batched(wanted):
                pipe.mget([keys.tail(conv) for conv in part])
            found = itertools.chain.from_iterable(pipe.execute())
        return {conv: _parsed(text) for conv, text in zip(wanted, found, strict=True) if text}

    def _numbers(self, convs: Iterable[str]) -> dict[str, Tail]:
        wanted = list(convs)
        with self._redis.pipeline(transaction=False) as pipe:
            for part in batched(wanted):
                _NUMBERS.add(pipe, tuple(map(keys.tail, part)), _NUMBERS_END)
            found = itertools.chain.from_iterable(execute(pipe))
        tails = {conv: _parsed(text) for conv, text in zip(wanted, found, strict=True) if text}
        return {conv: tail._replace(sealed=b"") for conv, tail in tails.items()}


def _parsed(text: bytes) -> Tail:
    seq, changed, sealed = text.split(b":", 2)
    return Tail(int(seq), int(changed), sealed)
