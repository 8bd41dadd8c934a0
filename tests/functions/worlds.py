"""Small worlds that are equal but for their ids: people, their groups, their conversations."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from local.layout import ROOT
from shared import channels, keys
from shared.collections import MESSAGES, USERS
from shared.conversation import direct
from shared.function import Function
from shared.ids import new_id
from shared.stores import database, redis_client
from tests.functions.calls import Asked, Outcome, ask, outcome
from tests.soft import soft

There = Mapping[str, Any]  # what there is for one person, by the names that params use

PEOPLE = 6
MESSAGES_EACH = 4


def world() -> Sequence[There]:
    """For each of some people: a group of their own with two others, and a conversation with one of
    these. What the last two could read cannot be opened any more."""
    found = [_person() for _ in range(PEOPLE)]
    _group(found)
    _talk(found)
    _lose(found[-1], "not even bytes")
    _lose(found[-2], b"\xff\xffsealed under no key")
    return found


def _person() -> dict[str, Any]:
    # In this order, so that names of conversations are sorted alike in all worlds.
    me, other, third, nobody = (f"{place}{new_id()}" for place in "abcd")
    database()[USERS].insert_many(
        [{"_id": uid, "username": f"u{uid}", "name": uid} for uid in (me, other, third)]
    )
    return {
        "me": me,
        "other": other,
        "third": third,
        "nobody": nobody,
        "session": new_id(),
        "uid": other,
        "to": other,
        "uids": [other, third],
        "members": [other],
        "mentions": [other],
        "cid": new_id(),
        "type": "text",
        "body": {"text": "once more"},
        "ref": 3,
        "seq": 3,
        "reply_to": 3,
        "username": f"n{me}",
        "password": "correct horse battery",
    }


def _group(people: list[dict[str, Any]]) -> None:
    calls = [
        Asked(
            "group.create",
            {"cid": new_id(), "name": "a group", "members": [here["other"], here["third"]]},
            here["me"],
            here["session"],
        )
        for here in people
    ]
    for here, answer in zip(people, ask(function("group"), calls), strict=True):
        made = answer["result"]
        here |= {"gid": made["gid"], "conv": made["conv"]}
        here["forward"] = {"conv": made["conv"], "seq": 3}
        for name in (channels.user(here["me"]), channels.presence(made["gid"])):
            redis_client().sadd(keys.channel(name), "a-node")


def _talk(people: list[dict[str, Any]]) -> None:
    calls = [
        Asked(
            "message.send",
            {**where, "cid": new_id(), "type": "text", "body": {"text": "hello"}},
            here["me"],
            here["session"],
        )
        for here in people
        for where in ({"conv": here["conv"]}, {"to": here["other"]})
        for _ in range(MESSAGES_EACH)
    ]
    assert {outcome(answer) for answer in ask(function("send"), calls)} == {Outcome()}


def _lose(here: There, sealed: Any) -> None:
    """The bodies and the tails of what a person reads."""
    for conv in (here["conv"], direct(here["me"], here["other"])):
        database()[MESSAGES].update_many({"conv": conv}, {"$set": {"body": sealed}})
        tail = redis_client().get(soft(keys.tail(conv)))
        if isinstance(sealed, bytes):
            assert isinstance(tail, bytes)
            redis_client().set(
                soft(keys.tail(conv)), tail[:-1] + bytes([tail[-1] ^ 1]), keepttl=True
            )
        else:
            redis_client().delete(soft(keys.tail(conv)))


def methods() -> Iterator[tuple[str, str]]:
    """Every function that is deployed with each of its methods, as the stack file announces them,
    which says what the handlers have (`test_architecture`)."""
    for name, stack in sorted(
        yaml.safe_load((ROOT / "stack.yml").read_text())["functions"].items()
    ):
        for method in stack["annotations"]["stonechat.methods"].split(","):
            yield name, method


def function(name: str) -> Function:
    """A function, in this process. Imported when asked for: its settings must be there."""
    found = getattr(importlib.import_module(f"functions.{name}.handler"), name)
    assert isinstance(found, Function)
    return found
