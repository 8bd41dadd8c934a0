"""The newest entry of each log, as soft state for lists of conversations.

A tail moves only after its entry was published, so a tail at or above a number means that this
entry, or a later one that makes clients fetch it, was announced. An entry makes a tail only where
it was stored just now as the first of its log; every other tail that is missing is made from what
is stored, never from an entry that happens to be announced, which may be an old one. Whoever so
makes it tells the listeners how far the log goes: what was stored and not announced is announced
with it.

A tail belongs to a generation. `changed` is Redis' own clock, so that whoever reads the clock
before the tails misses no change.

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

from shared import channels, conversation, keys, rpc
from shared.bus import Bus, Delivery
from shared.collections import Document
from shared.content import ContentUnreadableError, Keyring
from shared.entry import listed, shown_all
from shared.generations import Generation, Generations
from shared.scripts import Script, batched
from shared.shortening import shortened

# A number, an entry and whether it may make the tail, for each key; a tail only moves on. Returns
# the indexes of those that are missing still.
_ADVANCE = Script("""
local time = redis.call('TIME')
local changed = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local missing = {}
for index, key in ipairs(KEYS) do
  local seq, entry, makes = ARGV[index * 3 - 1], ARGV[index * 3], ARGV[index * 3 + 1]
  local tail = redis.call('GET', key)
  if not tail and makes == '0' then
    missing[#missing + 1] = index
  elseif not tail or tonumber(string.match(tail, '^%d+')) < tonumber(seq) then
    redis.call('SET', key, seq .. ':' .. changed .. ':' .. entry, 'EX', ARGV[1])
  end
end
return missing
""")

# The beginning of each tail.
_NUMBERS = Script("""
local found = {}
for index, key in ipairs(KEYS) do found[index] = redis.call('GETRANGE', key, 0, ARGV[1]) end
return found
""")
_NUMBERS_END = 40  # beyond both numbers and their colons


class Newest(NamedTuple):
    """An entry (as JSON, none in an empty log) that may be its log's tail; `makes` is whether it is
    the tail where there is none."""

    seq: int
    entry: bytes
    makes: bool = False


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
        bus: Bus,
        generations: Generations,
        content: Keyring,
        newest: Callable[[Sequence[str]], dict[str, Document]],
        lifetime: int,
        body_limit: int,
    ) -> None:
        """`newest(convs)` reads the newest stored entry of each log that has one; `lifetime` is
        the seconds an idle tail is kept; longer bodies than `body_limit` bytes are shortened."""
        self._redis = client
        self._bus = bus
        self._generations = generations
        self._content = content
        self._newest = newest
        self._lifetime = lifetime
        self._body_limit = body_limit

    def advance(self, now: Generation, pipe: Pipeline, newest: Mapping[str, Newest]) -> int:
        """Adds to a pipeline so many commands, whose answers are for `settle`: these entries (by
        conversation) are their logs' tails, unless later ones are."""
        before = len(pipe)
        for part in batched(newest.items()):
            arguments: list[Any] = []
            for conv, (seq, entry, makes) in part:
                sealed = self._seal(conv, seq, entry) if entry else b""
                arguments += (seq, sealed, int(makes))
            named = tuple(now.key(keys.tail(conv)) for conv, _ in part)
            _ADVANCE.add(pipe, named, self._lifetime, *arguments)
        return len(pipe) - before

    def settle(self, now: Generation, convs: Iterable[str], answers: Iterable[Any]) -> None:
        """What is to follow where tails were missing, by the answers to `advance`."""
        if missing := _picked(convs, answers):
            self._restore(now, missing, recorded=False)

    def numbers(self, convs: Sequence[str], *, recorded: bool = False) -> dict[str, Tail]:
        """The same as `read`, and no entries: bytes in proportion to the number of tails."""
        return self._read(self._numbers, convs, recorded=recorded)

    def read(self, convs: Sequence[str], *, recorded: bool = False) -> dict[str, Tail]:
        """The tail of each log; what Redis lost is read from the store and kept again. That a log
        is empty is kept only of those that are `recorded` to be somebody's: a name that a client
        made up leaves nothing."""
        return self._read(self._kept, convs, recorded=recorded)

    def kept(self, convs: Sequence[str]) -> dict[str, int]:
        """The number of each tail that Redis has."""
        found = self._generations.within(lambda now: self._numbers(now, convs))
        return {conv: tail.seq for conv, tail in found.items()}

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

    def _read(self, kept_of: "_KeptOf", convs: Sequence[str], *, recorded: bool) -> dict[str, Tail]:
        def work(now: Generation) -> dict[str, Tail]:
            tails = kept_of(now, convs)
            missing = [conv for conv in convs if conv not in tails]
            if missing:
                tails |= self._restore(now, missing, recorded=recorded)
                tails |= kept_of(now, missing)
            return tails

        return self._generations.within(work)

    def _restore(self, now: Generation, convs: Sequence[str], *, recorded: bool) -> dict[str, Tail]:
        """Makes missing tails from the store, and tells the listeners. Returns what was stored."""
        documents = self._newest(convs)
        entries = self._shown(documents)
        newest = {
            each["conv"]: Newest(each["seq"], orjson.dumps(each), makes=True) for each in entries
        }
        # Others may read what this process cannot.
        unreadable = {each["conv"] for each in entries if "unreadable" in each}
        kept = {conv: newest[conv] for conv in newest if conv not in unreadable}
        empty = set(convs).difference(documents) if recorded else ()
        with self._redis.pipeline(transaction=False) as pipe:
            self._bus.enqueue(pipe, list(_hints(kept)))
            self.advance(now, pipe, kept | dict.fromkeys(empty, Newest(0, b"", makes=True)))
            now.execute(pipe)
        changed = time.time_ns() // 1_000_000
        return dict.fromkeys(convs, EMPTY) | {
            conv: Tail(seq, changed, self._seal(conv, seq, entry))
            for conv, (seq, entry, _) in newest.items()
        }

    def _shown(self, documents: Mapping[str, Document]) -> list[dict[str, Any]]:
        return shown_all(map(listed, documents.values()), None, self._content)

    def _seal(self, conv: str, seq: int, entry: bytes) -> bytes:
        return self._content.seal(conv, f"tail {seq}", shortened(entry, self._body_limit))

    def _kept(self, now: Generation, convs: Iterable[str]) -> dict[str, Tail]:
        wanted = list(convs)
        with self._redis.pipeline(transaction=False) as pipe:
            for part in batched(wanted):
                pipe.mget([now.key(keys.tail(conv)) for conv in part])
            found = itertools.chain.from_iterable(now.execute(pipe))
        return {conv: _parsed(text) for conv, text in zip(wanted, found, strict=True) if text}

    def _numbers(self, now: Generation, convs: Iterable[str]) -> dict[str, Tail]:
        wanted = list(convs)
        with self._redis.pipeline(transaction=False) as pipe:
            for part in batched(wanted):
                named = tuple(now.key(keys.tail(conv)) for conv in part)
                _NUMBERS.add(pipe, named, _NUMBERS_END)
            found = itertools.chain.from_iterable(now.execute(pipe))
        tails = {conv: _parsed(text) for conv, text in zip(wanted, found, strict=True) if text}
        return {conv: tail._replace(sealed=b"") for conv, tail in tails.items()}


def _parsed(text: bytes) -> Tail:
    seq, changed, sealed = text.split(b":", 2)
    return Tail(int(seq), int(changed), sealed)


_KeptOf = Callable[[Generation, Iterable[str]], dict[str, Tail]]


def _picked(convs: Iterable[str], answers: Iterable[Any]) -> list[str]:
    """The conversations that answers name by their places, counted from 1 in each part."""
    parts = zip(batched(convs), answers, strict=True)
    return [part[int(index) - 1] for part, indexes in parts for index in indexes]


def _hints(newest: Mapping[str, Newest]) -> Iterable[Delivery]:
    """Tells who listens how far their logs go."""
    for conv, (seq, *_) in newest.items():
        place = conversation.parse(conv)
        if place is not None:
            frame = rpc.notification("conversation.hint", {"conv": conv, "last_seq": seq})
            yield Delivery(channels.listeners(place), frame)
