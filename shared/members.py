"""Where a person stands in a group: read on every hot path, so from copies in Redis.

The copies of a group are one hash: a field for the group as a whole and one for each person who was
asked for. Whoever changes a group puts the new copies before it answers; what is missing is read
from the record. Of people who never were in the group nothing is kept.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson
import redis
from redis.client import Pipeline

from shared import copies, keys
from shared.collections import GROUPS, MEMBERS, Document
from shared.finds import find, portions
from shared.generations import Generation, Generations, generations
from shared.scripts import batched
from shared.settings import settings
from shared.stores import database, redis_client

PRESENT = "member"  # the state of who belongs to a group now
ENDED = "ended"  # of who belonged to it when it was dismissed
RANK = {"member": 1, "admin": 2, "owner": 3}
GROUP_FIELD = "*"  # the field of the group as a whole


class Standing(NamedTuple):
    """One person in one group. `role` is None for who is no member now. Entries from `first` to
    `last` may be read, to the end where `last` is None. `muted_until` is in ms; `size` is the
    group's, as a member finds it; `open` is whether it shows its whole past to its members."""

    role: str | None = None
    first: int = 1
    last: int | None = 0
    muted_until: int = 0
    receipts: bool = False
    size: int = 0
    open: bool = False

    @property
    def may_read(self) -> bool:
        return self.role is not None or self.last != 0


NOBODY = Standing()
Wanted = Mapping[str, Sequence[str]]  # gid → uids


def group_copy(document: Document) -> str:
    """The facts of a group that standings follow from."""
    facts = {
        "owner": document["owner"],
        "admins": document["admins"],
        "muted": document["muted_until"],
        "dismissed": document["dismissed"],
        "all": document["settings"]["history"] == "all",
        "receipts": document["settings"]["receipts"],
        "size": document["size"],
    }
    return orjson.dumps(facts).decode()


def member_copy(document: Document) -> str:
    """The facts of a person in a group."""
    last = document.get("last", 0)
    facts = (document["state"], document.get("first", 0), last, document.get("muted_until", 0))
    return ":".join(map(str, facts))


def role_of(group: Document, uid: str) -> str:
    """The role of a member in a group (its document, or its copied facts)."""
    if uid == group["owner"]:
        return "owner"
    return "admin" if uid in group["admins"] else "member"


class Members:
    """Safe under threads and processes."""

    def __init__(self, client: redis.Redis, generations: Generations, lifetime: int) -> None:
        self._redis = client
        self._generations = generations
        self._lifetime = lifetime

    def standings(self, wanted: Wanted) -> dict[tuple[str, str], Standing]:
        """The standing of each (gid, uid), in one round trip if they were asked for of late."""

        def work(now: Generation) -> dict[tuple[str, str], Standing]:
            with self._redis.pipeline(transaction=False) as pipe:
                self.enqueue(now, pipe, wanted)
                return self.found(now, wanted, now.execute(pipe))

        return self._generations.within(work)

    def enqueue(self, now: Generation, pipe: Pipeline, wanted: Wanted) -> None:
        """Adds one command for each group to a pipeline, and more where it is about many people."""
        for gid, uids in wanted.items():
            for part in batched([GROUP_FIELD, *uids]):
                pipe.hmget(now.key(keys.group(gid)), part)

    def found(
        self, now: Generation, wanted: Wanted, answers: Sequence[Any]
    ) -> dict[tuple[str, str], Standing]:
        """What the answers to those commands say."""
        standings: dict[tuple[str, str], Standing] = {}
        missing: dict[str, list[str]] = {}
        left = itertools.chain.from_iterable(answers)
        for gid, uids in wanted.items():
            facts, *people = itertools.islice(left, 1 + len(uids))
            unknown = [uid for uid, copy in zip(uids, people, strict=True) if copy is None]
            if facts is None:
                missing[gid] = list(uids)
                continue
            if unknown:
                missing[gid] = unknown
            group = orjson.loads(copies.text(facts))
            for uid, copy in zip(uids, people, strict=True):
                if copy is not None:
                    standings[gid, uid] = _standing(uid, group, copies.text(copy))
        return standings | self._read(now, missing)

    def _read(self, now: Generation, missing: Wanted) -> dict[tuple[str, str], Standing]:
        """From the record; what is found is copied."""
        standings = {(gid, uid): NOBODY for gid, uids in missing.items() for uid in uids}
        if not missing:
            return standings
        ids = [f"{gid} {uid}" for gid, uids in missing.items() for uid in uids]
        # Members first: a copy of the group may be newer than one of a person, never older.
        people = list(find(database()[MEMBERS], ids))
        groups = {each["_id"]: each for each in find(database()[GROUPS], missing)}
        with self._redis.pipeline(transaction=False) as pipe:
            for gid, group in groups.items():
                key, text = now.key(keys.group(gid)), group_copy(group)
                copies.put_field(pipe, key, GROUP_FIELD, group["rev"], text, self._lifetime)
            for each in people:
                gid, uid, text = each["gid"], each["uid"], member_copy(each)
                key = now.key(keys.group(gid))
                copies.put_field(pipe, key, uid, each["rev"], text, self._lifetime)
                facts = orjson.loads(group_copy(groups[gid]))
                standings[gid, uid] = _standing(uid, facts, text)
            now.execute(pipe)
        return standings


def _standing(uid: str, group: dict[str, Any], member: str) -> Standing:
    state, first, last, muted = member.split(":")
    if state not in (PRESENT, ENDED):
        return Standing(None, int(first), int(last))
    sees_from = 1 if group["all"] else int(first)
    if state == ENDED or group["dismissed"]:
        return Standing(None, sees_from, None)
    role = role_of(group, uid)
    until = muted_until(group["muted"], int(muted), role)
    return Standing(role, sees_from, None, until, group["receipts"], group["size"], group["all"])


def muted_until(everyone: int, one: int, role: str) -> int:
    """Until when (ms) somebody may not speak in a group: one for whom this time was set, and
    another for everyone. The owner always may, and everyone are but members."""
    if role == "owner":
        return 0
    return max(one, everyone) if role == "member" else one


def groups_of(uids: Iterable[str]) -> dict[str, set[str]]:
    """The groups (gids) of which each person is a member, the dismissed left out."""
    found: dict[str, set[str]] = {uid: set() for uid in uids}
    fields = {"_id": False, "gid": True, "uid": True}
    for each in find(database()[MEMBERS], found, by="uid", fields=fields, state=PRESENT):
        found[each["uid"]].add(each["gid"])
    return found


def busy(uids: Iterable[str], limit: int, state: str = PRESENT) -> set[str]:
    """Those who are in `limit` groups or more, or have this other state in as many."""
    return set(_counted(uids, limit, state=state))


def added_of_late(uids: Iterable[str], limit: int, since: int) -> dict[str, int]:
    """Those whom strangers put into `limit` groups or more since this time (ms), and when the first
    of that was."""
    return _counted(uids, limit, added={"$gt": since})


def _counted(uids: Iterable[str], limit: int, **which: Any) -> dict[str, int]:
    crowded: dict[str, int] = {}
    for portion in portions(uids):
        counted = database()[MEMBERS].aggregate(
            [
                {"$match": {"uid": {"$in": portion}} | which},
                {"$group": {"_id": "$uid", "count": {"$sum": 1}, "first": {"$min": "$added"}}},
            ]
        )
        crowded |= {each["_id"]: each["first"] for each in counted if each["count"] >= limit}
    return crowded


def members_of(gid: str, limit: int) -> list[str]:
    """The uids of a group's members, at most `limit`."""
    return [each["uid"] for each in roster(gid, "", limit)]


def roster(
    gid: str,
    after: str,
    limit: int,
    state: str = PRESENT,
    *,
    among: Mapping[str, Any] | None = None,
    **also: Any,
) -> list[Document]:
    """Those in this state by uid, at most `limit` of those behind the uid `after`; `among` narrows
    the uids, `also` what else is to hold."""
    query = {"gid": gid, "state": state, "uid": {"$gt": after} | dict(among or {})} | also
    return list(database()[MEMBERS].find(query).sort("uid", 1).limit(limit))


def late(gid: str, seq: int, limit: int) -> tuple[str, ...] | None:
    """The members whose sight of a group begins behind this number; None where they are more than
    `limit`."""
    query = {"gid": gid, "first": {"$gt": seq}, "state": PRESENT}
    found = list(database()[MEMBERS].find(query, {"uid": True}).limit(limit + 1))
    return None if len(found) > limit else tuple(each["uid"] for each in found)


@cache
def members() -> Members:
    """This process's members, on the stores of its settings."""
    return Members(redis_client(), generations(), settings().copy_ttl)
