"""Nothing that a stranger asks for leaves anything behind: no document, no key in Redis.

Held for every method that has to be told of what, by ids that look right and are nobody's: a new
method is tested with no change here.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from shared.collections import USERS
from shared.conversation import direct
from shared.errors import Reason
from shared.generations import generations
from shared.ids import new_id
from shared.stores import database, redis_client
from tests.functions import params
from tests.functions.calls import Asked, ask, outcome
from tests.functions.worlds import There, function, methods, world

PASSING = ("typing:", "rate:")  # keys that live for some seconds only
ABOUT = {"uid", "to", "uids", "gid", "conv", "forward"}  # params that say of what


def left() -> dict[str, Any]:
    """What is in the stores: the keys of one, how many documents the other has of each kind."""
    keys = [key.decode() for key in redis_client().scan_iter(count=10_000)]
    found: dict[str, Any] = {key: True for key in keys if not key.startswith(PASSING)}
    for name in database().list_collection_names():
        found[f"documents of {name}"] = database()[name].count_documents({})
    return found


@pytest.fixture(scope="module")
def stranger(stores: Stack) -> str:
    uid = new_id()
    database()[USERS].insert_one({"_id": uid, "username": f"u{uid}", "name": "a stranger"})
    return uid


def made_up(stranger: str) -> Iterator[There]:
    """What is not there, by the names that params use."""
    for conv in (f"g:{new_id()}", direct(stranger, new_id()), direct(new_id(), new_id())):
        one, other, gid = new_id(), new_id(), new_id()
        yield {
            "uid": one,
            "to": one,
            "uids": [one, other],
            "members": [one, other],
            "mentions": [one],
            "gid": gid,
            "conv": conv,
            "forward": {"conv": conv, "seq": 1},
            "type": "text",
            "body": {"text": "anybody there?"},
            "ref": 1,
            "seq": 0,
        }


def of_others(stranger: str, here: There) -> Iterator[There]:
    """What is there, and not for a stranger."""
    for conv in (here["conv"], direct(here["me"], here["other"]), f"u:{here['me']}"):
        made = dict(here) | {"conv": conv, "forward": {"conv": conv, "seq": 2}}
        del made["to"], made["uid"], made["uids"]  # whoever is somebody may be written to
        yield made


def all_of(name: str, method: str, stranger: str, there_is: There) -> list[Asked]:
    asked = function(name).methods[method]
    about = set(there_is) & ABOUT
    if not all(each.keys() & about for each in params.least(asked, there_is)):
        return []
    found = [*params.good(asked, there_is), *params.most(asked, there_is)]
    return [Asked(method, each, stranger, new_id()) for each in found]


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_what_is_not_there_leaves_nothing(
    stores: Stack, stranger: str, name: str, method: str
) -> None:
    asked = function(name)
    calls = [
        call for there_is in made_up(stranger) for call in all_of(name, method, stranger, there_is)
    ]
    generations().present()  # which is the house's
    before = left()
    answers = [outcome(answer) for call in calls for answer in ask(asked, [call])]
    answers += map(outcome, ask(asked, calls))
    assert left() == before, answers


@pytest.fixture(scope="module")
def here(stores: Stack) -> There:
    """What somebody else has; it was looked at, so that all soft state is there."""
    found = world()[0]
    sync, who = function("sync"), (found["me"], found["session"])
    for conv in (found["conv"], direct(found["me"], found["other"]), f"u:{found['me']}"):
        ask(sync, [Asked("message.history", {"conv": conv}, *who)])
    return found


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_what_is_others_leaves_nothing(
    stores: Stack, stranger: str, here: There, name: str, method: str
) -> None:
    asked = function(name)
    calls = [
        call
        for there_is in of_others(stranger, here)
        for call in all_of(name, method, stranger, there_is)
    ]
    generations().present()  # which is the house's
    before = left()
    answers = [outcome(answer) for call in calls for answer in ask(asked, [call])]
    answers += map(outcome, ask(asked, calls))
    assert Reason.INTERNAL not in {each.reason for each in answers}
    assert left() == before, answers
