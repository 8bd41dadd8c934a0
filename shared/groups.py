"""Groups: the record of who is in which, and how a change of it takes effect everywhere.

A group is one document of `groups`, which holds all that rules ask for (owner, admins, settings,
size), and one document of `members` for each person who is, was or may become a member. Every
change is one write of the group's document with an intent (`changes`), so changes of one group have
one order. Carrying an intent out is arranged so that nobody hears too much or too little:

- Who leaves is written down as gone, then unsubscribed on every connector, and only then the entry
  gets its number: what is numbered later never reaches them.
- Who joins is written down with the entry's number, then subscribed; when that has taken effect,
  their sessions get a hint how far the log goes. What was numbered earlier they fetch, what is
  numbered later they receive.

A session that is opened meanwhile first listens to its user's channel and then reads `members`, so
it either finds the new record or gets the control.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson
import redis
from pymongo import UpdateOne

from shared import channels, copies, keys
from shared.bus import Item, Membership, bus
from shared.changes import Changes, Plan
from shared.clock import now_ms
from shared.collections import GROUPS, MEMBERS, Document
from shared.commands import lasting
from shared.conversation import group, inbox
from shared.entry import Draft, Entry
from shared.errors import CallError
from shared.finds import find
from shared.generations import Generation, generations
from shared.log import log
from shared.members import ENDED, GROUP_FIELD, PRESENT, group_copy, member_copy, roster
from shared.settings import settings
from shared.states import states
from shared.stores import database, redis_client
from shared.writes import ignoring_duplicates, insert_or_update

_PORTION = 1000  # members at a time, where something concerns them all


class Groups:
    """The `groups` and `members` collections. Safe under threads and processes."""

    def __init__(self, client: redis.Redis, lifetime: int, timeout: float) -> None:
        """`lifetime` is the seconds that copies live; a change is given up after `timeout`."""
        self._redis = client
        self._lifetime = lifetime
        self._groups = database()[GROUPS]
        self._members = database()[MEMBERS]
        self._commands = lasting()
        self._changes = Changes(self._groups, self._commands, self._carry_out, timeout=timeout)

    def change(self, gid: str, commands: Sequence[str], plan: Plan) -> Document | None:
        """As `Changes.make`. An intent is

        steps    [{by, command, cid, body, joins: [uid], leaves: [uid]}], entries of
                 the group's log in order
        inboxes  [{uid, by, command, cid, body}], entries of people's inboxes
        members  {uid: fields that change}
        quits    [uid], who leave a dismissed group, of which nothing is told

        What the document is by the change says whether the group is dismissed by it.
        """
        return self._changes.make(gid, commands, plan)

    def keep(self, results: dict[str, Any]) -> None:
        """Results of commands (by key) that changed nothing, for whoever repeats them."""
        self._commands.keep_first({key: orjson.dumps(each) for key, each in results.items()})

    def get(self, gid: str) -> Document | None:
        """The group, None where there is none or it was dismissed."""
        document = self._groups.find_one({"_id": gid})
        if document is None:
            return None
        self._changes.settle_old(document)
        return None if document["dismissed"] else document

    def many(self, gids: Iterable[str]) -> list[Document]:
        """Those that are there and not dismissed."""
        return list(find(self._groups, gids, dismissed=False))

    def members(self, gid: str, uids: Iterable[str]) -> dict[str, Document]:
        """What is known of these people in the group, whatever their state."""
        wanted = (f"{gid} {uid}" for uid in uids)
        return {each["uid"]: each for each in find(self._members, wanted)}

    def invitations(self, uid: str, after: str, limit: int) -> list[Document]:
        """What a person is invited to, by gid: at most `limit` behind the gid `after`."""
        query = {"uid": uid, "state": "invited", "gid": {"$gt": after}}
        return list(self._members.find(query).sort("gid", 1).limit(limit))

    def search(self, prefix: str, limit: int) -> list[Document]:
        """Listed groups by the beginning of their name, case folded."""
        query = {"search": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}
        return list(self._groups.find(query).sort("search", 1).limit(limit))

    def _carry_out(self, document: Document) -> None:
        gid, intent = document["_id"], document["intent"]
        leaves = [uid for step in intent["steps"] for uid in step["leaves"]]
        joins = [uid for step in intent["steps"] for uid in step["joins"]]
        self._record(document, leaves, {})
        self._publish_left(document, leaves)
        bounds: dict[str, dict[str, int]] = {}
        for step, entry in zip(intent["steps"], self._append(gid, intent), strict=True):
            since = {"first": entry.seq, "joined_at": entry.ts}
            bounds |= dict.fromkeys(step["joins"], since)
            bounds |= {uid: {"last": entry.seq} for uid in step["leaves"]}
        conv, rev = group(gid), document["rev"]
        if intent["quits"]:
            end = {"last": log().storage.highest([conv])[conv]}
            bounds |= dict.fromkeys(intent["quits"], end)
            leaves += intent["quits"]
        states().joined([(uid, conv, bounds[uid]["first"]) for uid in joins], rev)
        states().left([(uid, conv, bounds[uid]["last"]) for uid in leaves], rev)
        self._record(document, intent["members"], bounds)
        if document["dismissed"]:
            self._end(document)
        self._publish_joined(document, joins)

    def _end(self, document: Document) -> None:
        """Nobody belongs to the group or waits for it any more. Those who did are listed as gone,
        and may read it to its end."""
        gid, rev = document["_id"], document["rev"]
        while uids := [each["uid"] for each in roster(gid, "", _PORTION)]:
            states().ended([(uid, group(gid)) for uid in uids], rev)
            self._become(gid, PRESENT, ENDED, rev, uid={"$in": uids})
        for waiting in ("invited", "requested"):
            self._become(gid, waiting, "none", rev)

    def _become(self, gid: str, before: str, after: str, rev: int, **which: Any) -> None:
        people = {"gid": gid, "state": before} | which
        self._members.update_many(people, {"$set": {"state": after, "rev": rev}})

    def _record(
        self, document: Document, uids: Iterable[str], bounds: dict[str, dict[str, int]]
    ) -> None:
        """Writes what is to be known of these people, then the copies of them and of the group."""
        gid, rev = document["_id"], document["rev"]
        new: list[Document] = []
        updates: dict[str, UpdateOne] = {}
        for uid in uids:
            fields = document["intent"]["members"][uid] | bounds.get(uid, {})
            key, is_joining = f"{gid} {uid}", "first" in bounds.get(uid, {})
            kept = {name: value for name, value in fields.items() if value is not None}
            kept |= {"gid": gid, "uid": uid, "rev": rev}
            change: Document = {"$set": kept}
            if len(kept) < len(fields) + 3:
                gone = {name: "" for name, value in fields.items() if value is None}
                change["$unset"] = gone
            updates[uid] = UpdateOne({"_id": key, "rev": {"$not": {"$gt": rev}}}, change, True)
            if is_joining:
                new.append({"_id": key} | kept)
        joining = [each["uid"] for each in new]
        insert_or_update(self._members, new, [updates[uid] for uid in joining])
        others = [update for uid, update in updates.items() if uid not in set(joining)]
        ignoring_duplicates(self._members, others)
        self._copy(gid, list(updates))

    def _copy(self, gid: str, uids: Sequence[str]) -> None:
        """What is put is read in the same generation: a later change may have been put in the one
        before."""

        def work(now: Generation) -> None:
            # Members first: a copy of the group may be newer than one of a person, never older.
            people = self.members(gid, uids)
            stored = self._groups.find_one({"_id": gid})
            key = now.key(keys.group(gid))
            with self._redis.pipeline(transaction=False) as pipe:
                for uid, member in people.items():
                    text = member_copy(member)
                    copies.put_field(pipe, key, uid, member["rev"], text, self._lifetime)
                if stored is not None:
                    text = group_copy(stored)
                    copies.put_field(pipe, key, GROUP_FIELD, stored["rev"], text, self._lifetime)
                now.execute(pipe)

        generations().within(work)

    def _append(self, gid: str, intent: Document) -> list[Entry]:
        """The entry of each step. Raises the first refusal."""
        drafts = [
            Draft(
                conv=group(gid),
                sender=step["by"],
                command=step["command"],
                cid=step["cid"],
                type="group",
                body=step["body"],
                also=tuple(step["leaves"]),
            )
            for step in intent["steps"]
        ]
        drafts += [
            Draft(
                conv=inbox(each["uid"]),
                sender=each["by"],
                command=each["command"],
                cid=each["cid"],
                type="group",
                body=each["body"],
            )
            for each in intent["inboxes"]
        ]
        entries = []
        for outcome in log().append(drafts):
            if isinstance(outcome, CallError):
                raise outcome
            entries.append(outcome)
        return entries[: len(intent["steps"])]

    def _publish_left(self, document: Document, uids: Sequence[str]) -> None:
        gid, rev = document["_id"], document["rev"]
        bus().publish(
            [
                Membership("unsubscribe", uid, channel, rev=rev)
                for uid in uids
                for channel in (channels.group(gid), channels.presence(gid))
            ]
        )

    def _publish_joined(self, document: Document, uids: Sequence[str]) -> None:
        """Only for those whose record still says so: this may be carried out late."""
        gid, rev, at = document["_id"], document["rev"], now_ms()
        wanted = (f"{gid} {uid}" for uid in uids)
        inside = find(self._members, wanted, fields={"uid": 1}, rev=rev, state=PRESENT)
        items: list[Item] = [
            Membership(
                "subscribe", each["uid"], channels.group(gid), rev=rev, hint=group(gid), at=at
            )
            for each in inside
        ]
        bus().publish(items)


@cache
def groups() -> Groups:
    """This process's groups, on the stores of its settings."""
    config = settings()
    return Groups(redis_client(), config.copy_ttl, config.append_timeout)
