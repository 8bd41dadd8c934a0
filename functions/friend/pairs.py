"""A step of two people, from the present document to the change that is to be written."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from shared.changes import Change
from shared.collections import Document
from shared.commands import entry_command
from shared.conversation import inbox
from shared.errors import CallError, Reason
from shared.friendships import LINKED, friendships, key_of, state_of, states_of
from shared.settings import settings

from . import rules
from .rules import ASKED, BLOCKS, FRIENDS, INVITED, Action, Policy, Standing, Step

_LATER = 3600  # seconds, until one may ask somebody again whom too many have asked


class Command(NamedTuple):
    """What one person wants of another. `given` is a `note`, or what to note of the other."""

    action: Action
    uid: str
    other: str
    cid: str
    given: Mapping[str, Any]
    policy: Policy = "approve"


def change(command: Command, key: str, present: Document | None) -> tuple[Change, Any]:
    """The change that this command, whose key is `key`, makes, and its result. Raises `CallError`
    where the rules or the limits refuse it."""
    uid, other = command.uid, command.other
    before: Standing = (state_of(present, uid), state_of(present, other))
    step = rules.step(command.action, before, command.policy)
    _require_room(command, before, step.standing)
    document = _document(command, present, before, step.standing)
    result: Any = {"state": step.standing[0]}
    if command.action == "update":
        result = friend(document, uid)
    entries = _entries(command, document, step, 1 if present is None else present["rev"] + 1)
    return Change(document, {"entries": entries}, {key: result}), result


def friend(document: Document, uid: str) -> dict[str, Any]:
    """The other one, as this person's list has them."""
    first, second = document["_id"].split(" ")
    other, state = second if first == uid else first, state_of(document, uid)
    shown: dict[str, Any] = {"uid": other, "state": state} | document["sides"][uid]
    if state in ("incoming", "outgoing") and "note" in document:
        shown["note"] = document["note"]
    return shown


def _document(
    command: Command, present: Document | None, before: Standing, after: Standing
) -> Document:
    people = (command.uid, command.other)
    old = {} if present is None else present["sides"]
    sides: dict[str, dict[str, Any]] = {}
    for uid, was, becomes in zip(people, before, after, strict=True):
        if was == becomes and uid in old:
            sides[uid] = old[uid]
        elif becomes != "none":
            sides[uid] = {"since": time.time_ns() // 1_000_000}
    if command.action == "update":
        sides[command.uid] = _noted(sides[command.uid], command.given)
    document: Document = {
        "_id": key_of(*people),
        "states": states_of(dict(zip(people, after, strict=True))),
        "sides": sides,
    }
    note = command.given.get("note") if before != after else (present or {}).get("note")
    if note and after in (ASKED, INVITED):
        document["note"] = note
    return document


def _noted(side: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A side with what is given; empty values remove. Raises `too_large`, as a list holds the notes
    of all friends."""
    notes = {name: value for name, value in {**side, **given}.items() if value and name != "since"}
    if len(orjson.dumps(notes)) > settings().friend_notes_limit:
        raise CallError(Reason.TOO_LARGE, "more than is noted of a friend")
    return {"since": side["since"]} | notes


def _entries(command: Command, document: Document, step: Step, rev: int) -> list[Document]:
    """The drafts of the entries, for both inboxes."""
    entries = []
    method = f"friend.{command.action}"
    told = ((command.uid, step.mine), (command.other, step.theirs))
    for reader, event in told:
        if event is None:
            continue
        other = command.other if reader == command.uid else command.uid
        body = {"event": event, "uid": other, "state": state_of(document, reader)}
        if reader in document["sides"]:
            body = friend(document, reader) | body
        entries.append(
            {
                "conv": inbox(reader),
                "sender": command.uid,
                "command": f"{entry_command(method, command.other, inbox(reader))},{rev}",
                "cid": command.cid,
                "type": "friend",
                "body": body,
            }
        )
    return entries


def _require_room(command: Command, before: Standing, after: Standing) -> None:
    """Raises `conflict` where a new friend, request or block is one too many, and `rate_limited`
    where the other has too many requests to answer. Steps at the same instant may all find the last
    place."""
    config, known = settings(), friendships()
    if after == BLOCKS or after == rules.BOTH:
        limit = config.blocks_limit
        if before[0] != "blocked" and known.count(command.uid, ["blocked"], limit) >= limit:
            raise CallError(Reason.CONFLICT, f"at most {limit} people are blocked")
    elif after in (ASKED, FRIENDS) and before == rules.NOTHING:
        asked = config.open_requests_limit
        if after == ASKED and known.count(command.other, ["incoming"], asked) >= asked:
            raise CallError(Reason.RATE_LIMITED, retry_after=_LATER)
        limit = config.friends_limit
        for uid in (command.uid, command.other):
            if known.count(uid, LINKED, limit) >= limit:
                raise CallError(Reason.CONFLICT, f"at most {limit} friends and requests")
