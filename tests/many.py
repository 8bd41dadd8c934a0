"""Much of what grows with a person, made past the methods, so that it is there at once."""

from collections.abc import Sequence
from typing import Any

from shared.collections import FRIENDSHIPS, GROUPS, MEMBERS
from shared.entry import Draft, Entry
from shared.friendships import key_of, states_of
from shared.ids import new_id
from shared.log import log
from shared.states import states
from shared.stores import database

_SETTINGS = {
    "join": "invite",
    "history": "joined",
    "invite": "members",
    "edit": "admins",
    "consent": False,
    "receipts": False,
    "listed": False,
}


def groups_of(uid: str, count: int, text: str, size: int = 2) -> list[str]:
    """The conversations of so many groups of a stranger, each with one message, which this person
    is in. They say to have so many members."""
    owner = new_id()
    gids = [new_id() for _ in range(count)]
    database()[GROUPS].insert_many([_group(gid, owner, size) for gid in gids])
    database()[MEMBERS].insert_many(
        [_member(gid, each) for gid in gids for each in (uid, owner)], ordered=False
    )
    convs = [f"g:{gid}" for gid in gids]
    for conv, place in zip(convs, written(convs, owner, text), strict=True):
        assert place.seq == 1, conv
    states().joined([(uid, conv, 1) for conv in convs], 1)
    return convs


def written(convs: Sequence[str], sender: str, text: str) -> list[Entry]:
    """A message in each of these conversations."""
    drafts = [
        Draft(conv, sender, "message.send", new_id(), "text", {"text": text}) for conv in convs
    ]
    found = []
    for outcome in log().append(drafts):
        assert isinstance(outcome, Entry), outcome
        found.append(outcome)
    return found


def friends_of(uid: str, count: int, note: str) -> list[str]:
    """The uids of so many friends, of whom this much is noted, the oldest friendship first."""
    others = [new_id() for _ in range(count)]
    database()[FRIENDSHIPS].insert_many(
        [
            {
                "_id": key_of(uid, other),
                "rev": 1,
                "states": states_of({uid: "friend", other: "friend"}),
                "sides": {uid: {"since": 1000 + n, "alias": note}, other: {"since": 1000 + n}},
            }
            for n, other in enumerate(others)
        ]
    )
    return others


def _group(gid: str, owner: str, size: int) -> dict[str, Any]:
    return {
        "_id": gid,
        "gid": gid,
        "name": gid,
        "settings": _SETTINGS,
        "owner": owner,
        "admins": [],
        "size": size,
        "muted_until": 0,
        "dismissed": False,
        "created_at": 1000,
        "rev": 1,
    }


def _member(gid: str, uid: str) -> dict[str, Any]:
    place = {"_id": f"{gid} {uid}", "gid": gid, "uid": uid, "rev": 1}
    return place | {"state": "member", "first": 1, "joined_at": 1000}
