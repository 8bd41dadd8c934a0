"""What two people are to each other: one document a pair, so that every step is one atomic write.

`states` holds `UID STATE` for each of the two whose state is not `none`; its index answers every
list and every count. `sides` holds, for the same people, `since` (ms) and what they noted of the
other (`alias`, `tags`, `ext`); `note` is the open request's. Redis has a copy of what hot paths
ask: whether two are friends, and who blocked whom.

Steps are made through `changes`. What a process left half-done, whoever reads it here finishes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import redis
from pymongo.collection import Collection
from redis.client import Pipeline

from shared import copies, keys, people
from shared.changes import Changes
from shared.collections import FRIENDSHIPS, Document
from shared.commands import Commands, lasting
from shared.entry import Draft
from shared.errors import CallError
from shared.finds import find
from shared.generations import Generation, Generations, generations
from shared.log import Log, log
from shared.pages import Place
from shared.scripts import batched
from shared.settings import settings
from shared.stores import database, redis_client

State = Literal["friend", "incoming", "outgoing", "blocked", "none"]
LINKED: tuple[State, ...] = ("friend", "incoming", "outgoing")
ALL: tuple[State, ...] = (*LINKED, "blocked")

Pair = tuple[str, str]  # (uid, other)


class Relation(NamedTuple):
    """What the first of a pair is to the second. `blocked`: the first blocked the second;
    `blocked_by`: the second blocked the first."""

    friends: bool = False
    blocked: bool = False
    blocked_by: bool = False


_SELF = Relation(friends=True)  # one may always write to oneself


class Friendships:
    """The `friendships` collection and its copies in Redis. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        generations: Generations,
        friendships: Collection[Document],
        commands: Commands,
        log: Log,
        *,
        lifetime: int,
        timeout: float,
    ) -> None:
        """`lifetime` is that of a copy, `timeout` that of a change, in seconds."""
        self._redis = client
        self._generations = generations
        self._friendships = friendships
        self._log = log
        self._lifetime = lifetime
        self.changes = Changes(friendships, commands, self._carry_out, timeout=timeout)

    def relations(self, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """What the first of each pair is to the second; one round trip where copies are there."""

        def work(now: Generation) -> dict[Pair, Relation]:
            with self._redis.pipeline(transaction=False) as pipe:
                self.enqueue(now, pipe, pairs)
                return self.found(now, pairs, now.execute(pipe))

        return self._generations.within(work)

    def enqueue(self, now: Generation, pipe: Pipeline, pairs: Sequence[Pair]) -> int:
        """Adds to a pipeline so many commands, whose answers are for `found`."""
        before = len(pipe)
        for part in batched(pairs):
            pipe.mget([now.key(keys.friendship(key_of(*pair))) for pair in part])
        return len(pipe) - before

    def found(
        self, now: Generation, pairs: Sequence[Pair], answers: Iterable[Any]
    ) -> dict[Pair, Relation]:
        """The relations of the pairs given to `enqueue`. What Redis has not is read from the store,
        in one query, and copied."""
        texts = {
            key_of(*pair): copies.text(copy)
            for pair, copy in zip(pairs, itertools.chain.from_iterable(answers), strict=True)
            if copy is not None
        }
        missing = {key_of(*pair) for pair in pairs if pair[0] != pair[1]}.difference(texts)
        if missing:
            texts |= self._copy(now, missing)
        return {
            (uid, other): _SELF if uid == other else _relation(uid, other, texts)
            for uid, other in pairs
        }

    def friends_of(self, uids: Iterable[str]) -> dict[str, set[str]]:
        """The friends of each."""
        return self._others(uids, "friend")

    def blocked_of(self, uids: Iterable[str]) -> dict[str, set[str]]:
        """Whom each has blocked."""
        return self._others(uids, "blocked")

    def places(self, uid: str, states: Sequence[State] = ALL) -> list[Place]:
        """Where others stand in this person's list of those states: by when it began, then uid."""
        fields = {f"sides.{uid}.since": True}
        found = find(self._friendships, _keys([uid], states), by="states", fields=fields)
        return sorted(
            Place(document["sides"][uid]["since"], other_of(document, uid)) for document in found
        )

    def of(self, uid: str, others: Iterable[str]) -> dict[str, Document]:
        """The documents of this person and each of the others, by the other's uid."""
        found = {}
        for document in find(self._friendships, (key_of(uid, other) for other in others)):
            self.changes.settle_old(document)
            found[other_of(document, uid)] = document
        return found

    def count(self, uid: str, states: Sequence[State], limit: int) -> int:
        """In how many pairs this person's state is one of these; `limit` where it is more."""
        return self._friendships.count_documents(
            {"states": {"$in": _keys([uid], states)}}, limit=limit
        )

    def _others(self, uids: Iterable[str], state: State) -> dict[str, set[str]]:
        others: dict[str, set[str]] = {uid: set() for uid in uids}
        if not others:
            return others
        for document in find(self._friendships, _keys(others, [state]), by="states"):
            self.changes.settle_old(document)
            for uid in document["_id"].split(" "):
                if uid in others and state_of(document, uid) == state:
                    others[uid].add(other_of(document, uid))
        return others

    def _copy(self, now: Generation, missing: Iterable[str]) -> dict[str, str]:
        """Copies pairs to Redis, but those with nobody, and returns what the copies say."""
        documents: dict[str, Document] = {key: {"_id": key, "rev": 0} for key in missing}
        stored: set[str] = set()
        for document in find(self._friendships, list(documents)):
            self.changes.settle_old(document)
            documents[document["_id"]] = document
            stored.add(document["_id"])
        new = {key: key.split(" ") for key in documents if key not in stored}
        nobody = people.strangers(itertools.chain.from_iterable(new.values()))
        real = stored.union(key for key, pair in new.items() if nobody.isdisjoint(pair))
        self._put(now, [documents[key] for key in real])
        return {key: _flags(document) for key, document in documents.items()}

    def _put(self, now: Generation, documents: Iterable[Document]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for each in documents:
                key = now.key(keys.friendship(each["_id"]))
                copies.put(pipe, key, each["rev"], _flags(each), self._lifetime)
            now.execute(pipe)

    def _renew(self, now: Generation, key: str) -> None:
        """What is put is read in the same generation: a later step may have been put in the one
        before."""
        stored = self._friendships.find_one({"_id": key})
        self._put(now, [] if stored is None else [stored])

    def _carry_out(self, document: Document) -> None:
        # The copy first: whoever learns of a change from an entry is to find it in force.
        self._generations.within(lambda now: self._renew(now, document["_id"]))
        drafts = [Draft(**fields) for fields in document["intent"]["entries"]]
        for outcome in self._log.append(drafts):
            if isinstance(outcome, CallError):
                raise outcome


def key_of(one: str, other: str) -> str:
    """The `_id` of a pair."""
    return f"{one} {other}" if one < other else f"{other} {one}"


def state_of(document: Document | None, uid: str) -> State:
    """The state of one of the two."""
    for each in () if document is None else document.get("states", ()):
        owner, state = each.split(" ")
        if owner == uid:
            found: State = state
            return found
    return "none"


def other_of(document: Document, uid: str) -> str:
    """The one of the two who is not `uid`."""
    first, second = document["_id"].split(" ")
    return str(second if first == uid else first)


def states_of(states: Mapping[str, State]) -> list[str]:
    """Two people's states, as a document has them."""
    return [f"{uid} {state}" for uid, state in states.items() if state != "none"]


def _keys(uids: Iterable[str], states: Sequence[State]) -> list[str]:
    """The keys of these states in the index."""
    return [f"{uid} {state}" for uid in uids for state in states]


def _flags(document: Document) -> str:
    """What a copy says: `f` of friends, `1` where the first of the sorted pair blocked the second,
    `2` where the second blocked the first."""
    first, second = (state_of(document, uid) for uid in document["_id"].split(" "))
    marks = {"f": first == "friend", "1": first == "blocked", "2": second == "blocked"}
    return "".join(mark for mark, holds in marks.items() if holds)


def _relation(uid: str, other: str, flags: Mapping[str, str]) -> Relation:
    found = flags[key_of(uid, other)]
    mine, theirs = ("1", "2") if uid < other else ("2", "1")
    return Relation("f" in found, mine in found, theirs in found)


@cache
def friendships() -> Friendships:
    """This process's friendships, on the stores of its settings."""
    config = settings()
    return Friendships(
        redis_client(),
        generations(),
        database()[FRIENDSHIPS],
        lasting(),
        log(),
        lifetime=config.copy_ttl,
        timeout=config.append_timeout,
    )
