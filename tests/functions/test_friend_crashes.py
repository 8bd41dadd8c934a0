"""Steps whose process died half-way: whoever comes next finishes them."""

import time
from collections.abc import Callable

import pytest

from functions.friend.pairs import Command, change
from functions.friend.rules import Action
from local.stack import Stack
from shared import keys
from shared.changes import Changes
from shared.collections import COMMANDS, FRIENDSHIPS, Document
from shared.commands import Commands, command_key
from shared.conversation import inbox
from shared.friendships import Relation, friendships, key_of
from shared.history import History
from shared.ids import new_id
from shared.log import log
from shared.stores import database, redis_client
from tests.soft import soft

Help = Callable[[str, str], object]


class Died(Exception):
    """The process is gone."""


def act(action: Action, uid: str, other: str, *, dies: bool = False) -> object:
    """Makes a step; one that dies has written the document, and nothing else."""
    command = Command(action, uid, other, new_id(), {})
    key = command_key(uid, action, command.other, command.cid)

    def die(document: Document) -> None:
        raise Died

    changes = friendships().changes
    if dies:
        commands = Commands(database()[COMMANDS], ttl=60, lease=1)
        changes = Changes(database()[FRIENDSHIPS], commands, die, timeout=1)
    return changes.make(
        key_of(uid, other), [key], lambda present, done: change(command, key, present)[0]
    )


def left(action: Action, uid: str, other: str) -> None:
    """A step that somebody left half-done long ago, of which Redis knows nothing."""
    with pytest.raises(Died):
        act(action, uid, other, dies=True)
    place = {"_id": key_of(uid, other)}
    database()[FRIENDSHIPS].update_one(place, {"$set": {"intent_at": time.time() - 60}})
    redis_client().delete(soft(keys.friendship(place["_id"])))


def told(uid: str) -> list[str]:
    found = History(log(), hole_age=60).after(inbox(uid), 0, 50)
    return [entry["_id"].split()[2].split(",")[0] for entry in found.entries]


@pytest.mark.parametrize(
    "help_",
    [
        lambda uid, other: friendships().relations([(uid, other)]),
        lambda uid, other: friendships().of(uid, [other]),
        lambda uid, other: friendships().friends_of([other]),
        lambda uid, other: friendships().changes.settled(key_of(uid, other)),
        lambda uid, other: act("update", other, uid),
    ],
    ids=["relations", "list", "friends_of", "settled", "another step"],
)
def test_it_is_finished_by_whoever_comes(stores: Stack, help_: Help) -> None:
    alice, bob = new_id(), new_id()
    act("request", alice, bob)
    left("accept", bob, alice)
    assert (told(alice), told(bob)) == (["friend.request"], ["friend.request"])
    help_(alice, bob)
    accepted = ["friend.request", "friend.accept"]
    assert told(alice) == accepted
    assert told(bob)[:2] == accepted
    document = database()[FRIENDSHIPS].find_one({"_id": key_of(alice, bob)})
    assert document is not None
    assert "intent" not in document
    copy = redis_client().get(soft(keys.friendship(key_of(alice, bob))))
    assert copy == f"{document['rev']}:f".encode()
    help_(alice, bob)
    assert told(alice) == accepted


def test_a_copy_is_never_put_back(stores: Stack) -> None:
    """A step carried out late, by who did not know that it was done, does not undo a later one."""
    alice, bob = new_id(), new_id()
    act("request", alice, bob)
    left("accept", bob, alice)
    stale = database()[FRIENDSHIPS].find_one({"_id": key_of(alice, bob)})
    assert stale is not None
    act("block", alice, bob)
    friendships().changes.settle_old(stale)
    assert friendships().relations([(alice, bob)]) == {(alice, bob): Relation(blocked=True)}
    assert told(bob) == ["friend.request", "friend.accept", "friend.block"]
