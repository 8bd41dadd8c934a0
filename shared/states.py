"""One person's state in one conversation: what was read, pinned, muted, hidden.

MongoDB has the record. Redis has a copy of all states of a person, so that a list of thousands is
one command, and knows when each changed, by its own clock, after the change was stored: whoever
reads that clock and then the states misses none. A copy is put by whoever changes the record or
reads it, in any order; the higher revision stays, and of read marks the higher mark. What Redis
lost is copied again and counts as changed at that time.

A person's copy is one hash, which is lost as a whole or not at all: for each conversation a field
for the flags, one for the read mark, and in a direct one also the other's mark, as far as this
person is told of it. A mark in Redis is never ahead of the stored one, so one that is there is
enough to know that a lower one moves nothing. The hash belongs to a generation.

A copy is whole where the field `*` says so. Who copies all states first gives the hash an
*incarnation*, then reads the record, and writes `*` only if the incarnation is the same: had the
hash been lost in between, so would have been what others put into it meanwhile.

A direct conversation is listed for its two people from before its first entry on, because
`register` is called first.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import redis
from pymongo import ReturnDocument, UpdateOne
from pymongo.collection import Collection
from redis.client import Pipeline

from shared import keys
from shared.collections import CONVERSATIONS, Document
from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.finds import find
from shared.generations import Generation, Generations, generations
from shared.ids import new_id
from shared.recent import Recent
from shared.scripts import Script
from shared.settings import settings
from shared.stores import database, redis_client
from shared.writes import ignoring_duplicates, insert_or_update, refused

# Keeps `NUMBER:CHANGED:TEXT` in a hash, unless it has a number as high.
_PUT = Script("""
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and tonumber(string.match(kept, '^%d+')) >= tonumber(ARGV[2]) then return 0 end
local time = redis.call('TIME')
local changed = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. changed .. ':' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
""")

# The incarnation of a hash, ARGV[1] where it has none.
_INCARNATE = Script("""
redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], ARGV[2])
""")

# All is copied, unless the hash is another one by now.
_COMPLETE = Script("""
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[3], 1)
return 1
""")

_END = 2**53  # beyond every number
_BLANK = "0:0:-1:-1"
_WHOLE, _INCARNATION = b"*", b"!"  # fields: all of a person's states are copied; which hash it is
_ROUNDS = 10  # more than a hash can be lost in between by anything but malice
_READ, _PEER = " read", " peer"  # behind a conversation: fields of one's own mark, and the other's

Copied = dict[bytes, bytes]  # a person's states and marks


class State(NamedTuple):
    """`changed` is in ms; `hidden_at` is the number up to which the conversation is hidden; `until`
    is the last number of a group that is over for this person, -1 otherwise; `peer_read` is how far
    the other of a direct conversation has read."""

    read_seq: int = 0
    pinned: bool = False
    muted: bool = False
    hidden_at: int = -1
    until: int = -1
    changed: int = 0
    peer_read: int = 0


class Mark(NamedTuple):
    """Somebody has read up to a number; `peer` is the one who is told."""

    uid: str
    conv: str
    seq: int
    peer: str | None = None


class States:
    """The `conversations` collection and its copy in Redis. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        generations: Generations,
        conversations: Collection[Document],
        lifetime: int,
    ) -> None:
        """`lifetime` is the seconds for which the copy of an idle person is kept."""
        self._redis = client
        self._generations = generations
        self._conversations = conversations
        self._lifetime = lifetime
        self._registered = Recent(200_000)

    def register(self, conversations: Iterable[tuple[str, Conversation]]) -> None:
        """Lists direct conversations for their people. Costs nothing for those known here."""
        named = dict(conversations)
        new = [name for name in self._registered.unknown(named) if named[name].kind == "d"]
        if not new:
            return
        places = [(uid, name) for name in new for uid in dict.fromkeys(named[name].ids)]
        self._conversations.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{uid} {name}"},
                    {"$setOnInsert": {"uid": uid, "conv": name, "read_seq": 0, "rev": 0}},
                    upsert=True,
                )
                for uid, name in places
            ],
            ordered=False,
        )
        self._put_all(_Put(uid, name, 0, _BLANK) for uid, name in places)
        self._registered.add(new)

    def new(self, conversations: Iterable[tuple[str, Conversation]]) -> set[str]:
        """Those direct conversations that nobody has begun. Costs nothing for those known here."""
        named = dict(conversations)
        unknown = [name for name in self._registered.unknown(named) if named[name].kind == "d"]
        # Of both people, as one alone may have noted something of a conversation that is none.
        keys = [f"{uid} {name}" for name in unknown for uid in named[name].ids]
        found = {each["_id"] for each in find(self._conversations, keys, fields={"_id": True})}
        return {
            name for name in unknown if not all(f"{uid} {name}" in found for uid in named[name].ids)
        }

    def enqueue(self, now: Generation, pipe: Pipeline, places: Iterable[tuple[str, str]]) -> int:
        """Adds to a pipeline so many commands, whose answers are for `read`: what is known of these
        (uid, conversation)."""
        before = len(pipe)
        for uid, conv in places:
            pipe.hmget(now.key(keys.states(uid)), [conv, conv + _READ])
        return len(pipe) - before

    def read(self, marks: Sequence[Mark], known: Sequence[Any]) -> list[bool]:
        """Whether each mark moved: a lower one than before changes nothing. Which ones do is
        decided where they are stored. `known` is what Redis said of their places."""
        ahead = [
            index
            for index, (mark, (_, kept)) in enumerate(zip(marks, known, strict=True))
            if mark.seq > _number(kept)
        ]
        if not ahead:
            return [False] * len(marks)
        behind = self._store([marks[index] for index in ahead])
        # The state was made by somebody else a moment ago, or there is a higher mark.
        unsure = [at for at in behind if not any(known[ahead[at]])]
        if unsure:
            still = self._store([marks[ahead[at]] for at in unsure])
            behind = set(behind).difference(unsure) | {unsure[at] for at in still}
        puts = []
        for uid, conv, seq, peer in (marks[index] for index in ahead):
            puts.append(_Put(uid, conv + _READ, seq))
            if peer is not None:
                puts.append(_Put(peer, conv + _PEER, seq))
        self._put_all(puts)
        moved = {index for at, index in enumerate(ahead) if at not in behind}
        return [index in moved for index in range(len(marks))]

    def _store(self, marks: Sequence[Mark]) -> set[int]:
        """Stores marks, and returns the indexes of those that moved nothing."""
        writes: list[UpdateOne] = []
        numbers: dict[int, int] = {}  # of marks, by their writes
        for index, (uid, conv, seq, peer) in enumerate(marks):
            lower = {"_id": f"{uid} {conv}", "read_seq": {"$not": {"$gte": seq}}}
            blank = {"uid": uid, "conv": conv, "rev": 0}
            change: Document = {"$set": {"read_seq": seq}, "$setOnInsert": blank}
            numbers[len(writes)] = index
            writes.append(UpdateOne(lower, change, upsert=True))
            if peer is not None:  # has a state since before the first entry
                writes.append(UpdateOne({"_id": f"{peer} {conv}"}, {"$max": {"peer_read": seq}}))
        return {numbers[at] for at in refused(self._conversations, writes) if at in numbers}

    def update(self, uid: str, conv: str, change: dict[str, Any]) -> State:
        """Changes `pinned`, `muted` or `hidden_at`, and returns the state."""
        stored: Any = self._conversations.find_one_and_update(
            {"_id": f"{uid} {conv}"},
            {"$set": {"uid": uid, "conv": conv} | change, "$inc": {"rev": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        self._put_all(_puts(stored))
        return State(
            stored.get("read_seq", 0),
            stored.get("pinned", False),
            stored.get("muted", False),
            stored.get("hidden_at", -1),
            stored.get("until", -1),
            peer_read=stored.get("peer_read", 0),
        )

    def joined(self, places: Sequence[tuple[str, str, int]], rev: int) -> None:
        """(uid, conversation, seq): lists groups for who joined with these entries. Nothing
        changes where a later revision of the group was written."""
        documents = [
            {"_id": f"{uid} {conv}", "read_seq": seq - 1, "rev": 0, **_of_group(uid, conv, rev)}
            for uid, conv, seq in places
        ]
        updates = [
            _guarded(uid, conv, rev, {"$max": {"read_seq": seq - 1}, "$unset": {"until": ""}})
            for uid, conv, seq in places
        ]
        insert_or_update(self._conversations, documents, updates)
        self._renew(places)

    def left(self, places: Sequence[tuple[str, str, int]], rev: int) -> None:
        """The same for whom the group is over: they see it up to these entries."""
        updates = [_guarded(uid, conv, rev, {}, until=seq) for uid, conv, seq in places]
        ignoring_duplicates(self._conversations, updates)
        self._renew(places)

    def ended(self, places: Sequence[tuple[str, str]], rev: int) -> None:
        """(uid, conversation): the same for whom the group is over, and who see it to its end."""
        self.left([(uid, conv, _END) for uid, conv in places], rev)

    def _renew(self, places: Sequence[tuple[str, str, int]]) -> None:
        """The copies, from what is stored."""
        stored = find(self._conversations, (f"{uid} {conv}" for uid, conv, _ in places))
        self._put_all(put for document in stored for put in _puts(document))

    def of(self, uids: Sequence[str]) -> tuple[int, dict[str, dict[str, State]]]:
        """The time (ms), and by uid all states of a person at that time or later, by
        conversation."""
        return self._generations.within(lambda now: self._of(now, uids))

    def _of(self, now: Generation, uids: Sequence[str]) -> tuple[int, dict[str, dict[str, State]]]:
        at, copied = self._copied(now, uids)
        for _ in range(_ROUNDS):
            partly = [uid for uid, fields in copied.items() if _WHOLE not in fields]
            if not partly:
                return at, {uid: _read(copied[uid]) for uid in uids}
            self._copy_all(now, partly)
            copied |= self._copied(now, partly)[1]
        raise CallError(Reason.UNAVAILABLE, retry_after=1)

    def _copied(self, now: Generation, uids: Sequence[str]) -> tuple[int, dict[str, Copied]]:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for uid in uids:
                pipe.hgetall(now.key(keys.states(uid)))
            (seconds, microseconds), *found = now.execute(pipe)
        return seconds * 1000 + microseconds // 1000, dict(zip(uids, found, strict=True))

    def _copy_all(self, now: Generation, uids: Sequence[str]) -> None:
        named = [now.key(keys.states(uid)) for uid in uids]
        with self._redis.pipeline(transaction=False) as pipe:
            for key in named:
                _INCARNATE.add(pipe, key, new_id(), _INCARNATION, self._lifetime)
            incarnations = now.execute(pipe)
        with self._redis.pipeline(transaction=False) as pipe:
            for document in find(self._conversations, uids, by="uid"):
                self._enqueue(now, pipe, _puts(document))
            for key, incarnation in zip(named, incarnations, strict=True):
                _COMPLETE.add(pipe, key, incarnation, _INCARNATION, _WHOLE)
            now.execute(pipe)

    def _put_all(self, puts: Iterable["_Put"]) -> None:
        wanted = list(puts)
        if wanted:
            self._generations.within(lambda now: self._put_in(now, wanted))

    def _put_in(self, now: Generation, puts: Sequence["_Put"]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            self._enqueue(now, pipe, puts)
            now.execute(pipe)

    def _enqueue(self, now: Generation, pipe: Pipeline, puts: Iterable["_Put"]) -> None:
        for uid, field, number, text in puts:
            key = now.key(keys.states(uid))
            _PUT.add(pipe, key, field, number, text, self._lifetime)


class _Put(NamedTuple):
    """What is put into a person's copy."""

    uid: str
    field: str
    number: int
    text: str = ""


def _puts(document: Document) -> Iterable[_Put]:
    """The copy of a state."""
    uid, conv = document["uid"], document["conv"]
    flags = [int(document.get(name, False)) for name in ("pinned", "muted")]
    bounds = [document.get(name, -1) for name in ("hidden_at", "until")]
    yield _Put(uid, conv, document.get("rev", 0), ":".join(map(str, [*flags, *bounds])))
    for name, field in (("read_seq", _READ), ("peer_read", _PEER)):
        if document.get(name):
            yield _Put(uid, conv + field, document[name])


def _read(fields: Copied) -> dict[str, State]:
    named = fields.keys() - {_WHOLE, _INCARNATION}
    convs = dict.fromkeys(name.decode().partition(" ")[0] for name in named)
    return {conv: _state(fields, conv) for conv in convs}


def _state(fields: Copied, conv: str) -> State:
    """A state from `REV:CHANGED:PINNED:MUTED:HIDDEN_AT:UNTIL` and two of `SEQ:CHANGED:`."""
    text = fields.get(conv.encode()) or f"0:0:{_BLANK}".encode()
    _, changed, *flags = map(int, text.split(b":"))
    pinned, muted, hidden_at, until = flags
    (seq, read_at), (peer, peer_at) = (
        map(int, fields.get(f"{conv}{field}".encode(), b"0:0:").split(b":")[:2])
        for field in (_READ, _PEER)
    )
    latest = max(changed, read_at, peer_at)
    return State(seq, pinned == 1, muted == 1, hidden_at, until, latest, peer)


def _number(kept: bytes | None) -> int:
    """The number of a copy, 0 where there is none."""
    return 0 if kept is None else int(kept.split(b":", 1)[0])


def _of_group(uid: str, conv: str, rev: int) -> Document:
    return {"uid": uid, "conv": conv, "group_rev": rev}


def _guarded(uid: str, conv: str, rev: int, change: Document, **fields: Any) -> UpdateOne:
    """A change of a state, unless one of a later revision of the group was made."""
    place = {"_id": f"{uid} {conv}", "group_rev": {"$not": {"$gt": rev}}}
    changed = change | {"$set": _of_group(uid, conv, rev) | fields, "$inc": {"rev": 1}}
    return UpdateOne(place, changed, upsert=True)


@cache
def states() -> States:
    """This process's states, on the stores of its settings."""
    lifetime = settings().soft_state_ttl
    return States(redis_client(), generations(), database()[CONVERSATIONS], lifetime)
