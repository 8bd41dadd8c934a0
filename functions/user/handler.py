"""Profiles: who somebody is, for anyone who is signed in."""

from typing import Any

from shared import channels, people, rpc
from shared.bus import Delivery
from shared.call import Call
from shared.collections import USERS, Document
from shared.errors import CallError, Reason
from shared.finds import find
from shared.function import Function
from shared.shapes import OwnUser
from shared.stores import database

from .params import Get, Search, Update
from .results import Users

user = Function("user")

SHOWN = ("username", "name", "avatar", "about", "ext")
SEARCH_RESULTS = 20
UPDATES = 50  # of which it is known that they were made


@user.method("user.get", result=Users, reads=True)
def get(call: Call[Get]) -> dict[str, Any]:
    """`users`, in the order of `uids`; uids of nobody are left out."""
    wanted = list(dict.fromkeys(call.params.uids))
    found = {each["_id"]: each for each in find(database()[USERS], wanted)}
    return {"users": [_profile(found[uid]) for uid in wanted if uid in found]}


@user.method("user.update", result=OwnUser)
def update(call: Call[Update]) -> dict[str, Any]:
    """Changes what is given, and returns the user. An empty avatar or about removes it;
    `group_policy` says who adds the caller to groups without asking. The other devices of the
    caller get a `user` signal with the same. Refuses with `not_found` where the
    account is gone."""
    given = call.params.model_dump(exclude_none=True, exclude={"cid"})
    changed = {name: value for name, value in given.items() if value != ""}
    removed = {name: "" for name, value in given.items() if value == ""}
    change: Document = {}
    if changed:
        change["$set"] = changed
    if removed:
        change["$unset"] = removed
    if change:
        cid = call.params.cid
        change["$push"] = {"updates": {"$each": [cid], "$slice": -UPDATES}}
        database()[USERS].update_one({"_id": call.uid, "updates": {"$ne": cid}}, change)
    found = database()[USERS].find_one({"_id": call.uid})
    if found is None:
        raise CallError(Reason.NOT_FOUND)
    answer = {
        **_profile(found),
        "friend_policy": found.get("friend_policy", "approve"),
        "group_policy": people.group_policy(found),
    }
    frame = rpc.notification("user", answer)
    call.publish([Delivery((channels.user(call.uid),), frame, skip_session=call.caller.session)])
    return answer


@user.method("user.search", result=Users, reads=True)
def search(call: Call[Search]) -> dict[str, Any]:
    """`users` whose username begins with `q`, at most 20, by username."""
    prefix = call.params.q
    found = database()[USERS].find({"username": {"$gte": prefix, "$lt": prefix + "\x7f"}})
    nearest = found.sort("username", 1).limit(SEARCH_RESULTS)
    return {"users": [_profile(each) for each in nearest]}


def _profile(document: Document) -> dict[str, Any]:
    return {"uid": document["_id"]} | {name: document[name] for name in SHOWN if name in document}


start = user.start
handle = user.handle
ready = user.ready
