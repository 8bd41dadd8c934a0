"""Friends: requests, friendships, blocks, and what one notes of a friend.

Each step is one write of the pair's document (see `shared.friendships`), so that two people who act
at once, anywhere, never disagree. Everyone concerned is told by a `friend` entry in their inbox, so
a device that was away learns of it in order; unlike a message's, the sender's own session gets it
too, as the result bears no number.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared import guarding
from shared.call import Call
from shared.collections import USERS, Document
from shared.commands import command_key
from shared.errors import CallError, Reason, invalid_params
from shared.finds import find
from shared.friendships import friendships, key_of
from shared.function import Function
from shared.names import OptionalName
from shared.pages import Cursor, Limit
from shared.params import Cid, Ext, Id, Params
from shared.secretfiles import CONTENT_KEYS
from shared.stores import database

from . import lists, pairs
from .pairs import Command
from .results import Friend, Friends, StateNow
from .rules import Action, Policy

friend = Function("friend", secrets=[CONTENT_KEYS])

Tag = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class Other(Params):
    uid: Id
    cid: Cid


class Request(Other):
    note: str | None = Field(None, max_length=200)


class Update(Other):
    alias: OptionalName | None = None
    tags: list[Tag] | None = Field(None, max_length=20)
    ext: Ext | None = None


class List(Params):
    state: Literal["friend", "incoming", "outgoing", "blocked"] | None = None
    after: Cursor | None = None
    limit: Limit = 200


@friend.batch("friend.request", result=StateNow)
def request(calls: Sequence[Call[Request]]) -> list[Any]:
    """Asks somebody to be friends, and returns the caller's `state`: `outgoing`, or `friend` where
    the other had asked already or lets anyone in. Refuses with `not_found` (nobody), `blocked`
    (by them), `conflict` (the caller blocks them, or one of the two has too many friends),
    `forbidden` (they take no requests), `rate_limited` (they have too many to answer)."""
    return _act("request", calls)


@friend.batch("friend.accept", result=StateNow)
def accept(calls: Sequence[Call[Other]]) -> list[Any]:
    """Takes a request, and returns `state`. Refuses with `not_found` where there is nothing between
    the two, `conflict` where it is no request of theirs."""
    return _act("accept", calls)


@friend.batch("friend.decline", result=StateNow)
def decline(calls: Sequence[Call[Other]]) -> list[Any]:
    """Turns a request down; refuses like `friend.accept`."""
    return _act("decline", calls)


@friend.batch("friend.remove", result=StateNow)
def remove(calls: Sequence[Call[Other]]) -> list[Any]:
    """Ends a friendship, or withdraws one's own request, and returns `state`. Refuses with
    `conflict` in all other states."""
    return _act("remove", calls)


@friend.batch("friend.block", result=StateNow)
def block(calls: Sequence[Call[Other]]) -> list[Any]:
    """Blocks somebody, whatever the two were; a friendship or a request ends. The other is told of
    that end and not of the block. Refuses with `not_found`, and `conflict` at the limit."""
    return _act("block", calls)


@friend.batch("friend.unblock", result=StateNow)
def unblock(calls: Sequence[Call[Other]]) -> list[Any]:
    """Ends the caller's block, and returns `state`. Refuses with `conflict` where there is none."""
    return _act("unblock", calls)


@friend.batch("friend.update", result=Friend)
def update(calls: Sequence[Call[Update]]) -> list[Any]:
    """Changes what is given of what the caller notes of a friend, and returns the friend; an empty
    value removes it. Refuses with `conflict` where they are no friends, `too_large`."""
    return _act("update", calls)


@friend.method("friend.list", result=Friends, reads=True)
def list_friends(call: Call[List]) -> dict[str, Any]:
    """`friends`: everyone with whom the caller's state is `state`, or any but `none`; the oldest
    relation first. Where there are more, `next` is what to give as `after`. Whoever changes
    meanwhile is on a later page, again where an earlier one had them."""
    return lists.page(call.uid, call.params.state, call.params.after, call.params.limit)


def _act(action: Action, calls: Sequence[Call[Any]]) -> list[Any]:
    """Callers run side by side; each one's calls in order."""
    met = {call.params.uid for call in calls} if action in ("request", "block") else ()
    policies = _policies(met)
    return guarding.side_by_side(
        calls,
        lambda call: call.uid,
        lambda call: _make(_command(action, call, policies)),
        f"friend.{action}",
    )


def _policies(uids: Iterable[str]) -> dict[str, Policy]:
    """The policies of those who are somebody."""
    found = find(database()[USERS], uids, fields={"friend_policy": True})
    return {each["_id"]: each.get("friend_policy", "approve") for each in found}


def _command(action: Action, call: Call[Any], policies: dict[str, Policy]) -> Command:
    params = call.params
    if params.uid == call.uid:
        raise invalid_params(["uid"], "is oneself")
    if action in ("request", "block") and params.uid not in policies:
        raise CallError(Reason.NOT_FOUND)
    given = params.model_dump(exclude={"uid", "cid"}, exclude_none=True)
    policy = policies.get(params.uid, "approve")
    return Command(action, call.uid, params.uid, params.cid, given, policy)


def _make(command: Command) -> Any:
    """The result of a command: of this run, or of its first one."""
    key = command_key(command.uid, f"friend.{command.action}", command.other, command.cid)
    result: Any = None

    def plan(present: Document | None, done: dict[str, Any]) -> Any:
        nonlocal result
        if key in done:
            result = done[key]
            return None
        change, result = pairs.change(command, key, present)
        return change

    friendships().changes.make(key_of(command.uid, command.other), [key], plan)
    return result


start = friend.start
handle = friend.handle
ready = friend.ready
