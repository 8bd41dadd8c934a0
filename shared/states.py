"""One person's state in one conversation: what was read, pinned, muted.

A direct conversation is listed for its two people from before its first entry on, because
`register` is called first. `changed` times are Redis' clock, taken after the change was stored, so
whoever reads that clock and then the changes misses none.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import redis
from pymongo import ReturnDocument, UpdateOne
from pymongo.collection import Collection

from shared import keys
from shared.collections import CONVERSATIONS, Document
from shared.conversation import Conversation
from shared.recent import Recent
from shared.scripts import Script, execute
from shared.settings import settings
from shared.stores import database, redis_client

_CHANGED = Script("""
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
""")

# Everything counts as changed when Redis has lost what it knew. Returns all, and the time.
_CHANGES = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', KEYS[1], '', now)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {now, redis.call('HGETALL', KEYS[1])}
""")


class States:
    """The `conversations` collection. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        conversations: Collection[Document],
        lifetime: int,
    ) -> None:
        """`lifetime` is the seconds for which Redis keeps the changes of an idle person."""
        self._redis = client
        self._conversations = conversations
        self._lifetime = lifetime
        self._registered = Recent(200_000)

    def register(self, conversations: Iterable[tuple[str, Conversation]]) -> None:
        """Lists direct conversations for their people. Costs nothing for those known here."""
        named = dict(conversations)
        new = [name for name in self._registered.unknown(named) if named[name].kind == "d"]
        if not new:
            return
        self._conversations.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{uid} {name}"},
                    {"$setOnInsert": {"uid": uid, "conv": name, "read_seq": 0}},
                    upsert=True,
                )
                for name in new
                for uid in dict.fromkeys(named[name].ids)
            ],
            ordered=False,
        )
        self._registered.add(new)

    def of(self, uid: str) -> dict[str, Document]:
        """All states of a person, by conversation."""
        return {each["conv"]: each for each in self._conversations.find({"uid": uid})}

    def read(self, marks: Iterable[tuple[str, str, int]]) -> None:
        """(uid, conversation, seq): all up to `seq` was read. A lower mark changes nothing."""
        marks = list(marks)
        self._conversations.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{uid} {conv}"},
                    {"$max": {"read_seq": seq}, "$setOnInsert": {"uid": uid, "conv": conv}},
                    upsert=True,
                )
                for uid, conv, seq in marks
            ],
            ordered=True,
        )
        self.mark_changed((uid, conv) for uid, conv, _ in marks)

    def update(self, uid: str, conv: str, change: Document) -> Document:
        """Changes a person's state in a conversation, and returns it."""
        stored: Document = self._conversations.find_one_and_update(  # type: ignore[assignment]
            {"_id": f"{uid} {conv}"},
            {"$set": change, "$setOnInsert": {"uid": uid, "conv": conv}}
            if change
            else {"$setOnInsert": {"uid": uid, "conv": conv}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        self.mark_changed([(uid, conv)])
        return stored

    def mark_changed(self, places: Iterable[tuple[str, str]]) -> None:
        """After a change was stored: (uid, conversation)."""
        with self._redis.pipeline(transaction=False) as pipe:
            for uid, conv in dict.fromkeys(places):
                _CHANGED.add(pipe, keys.changed(uid), conv, self._lifetime)
            execute(pipe)

    def changes(self, uid: str) -> tuple[int, dict[str, int], int]:
        """The time now, when each conversation's state last changed, and the time before which
        nothing is known (all in ms): a state without a change counts as changed then."""
        with self._redis.pipeline(transaction=False) as pipe:
            _CHANGES.add(pipe, keys.changed(uid), self._lifetime)
            now, flat = execute(pipe)[0]
        pairs: dict[str, Any] = {
            name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)
        }
        since = pairs.pop("")
        return int(now), pairs, since


@cache
def states() -> States:
    """This process's states, on the stores of its settings."""
    return States(redis_client(), database()[CONVERSATIONS], settings().soft_state_ttl)
