"""Every MongoDB collection and its indexes, declared once and made at start-up.

| collection | one document is | `_id` |
|---|---|---|
| `users` | a person's public profile | uid |
| `credentials` | a password's hash | uid |
| `devices` | one sign-in, and which of its tokens were used | did |
| `homes` | a network from which a person signed in, for some weeks | `uid source` |
| `invites` | leave to register, and how often | the code's hash |
| `messages` | one entry of a log | `conv sender command cid` (see `log`) |
| `conversations` | one person's state in one log | `uid conv` |
| `groups` | a group, as its rules see it | gid |
| `members` | a person who is, was or may become a member | `gid uid` |
| `friendships` | what two people are to each other (see `friendships`) | `uid uid`, sorted |
| `presence` | the presence a person chose, and when it was last seen | uid |
| `commands` | the first result of a changing call, for a while | `uid method target cid` |
| `outcomes` | the first result of a command on a group or a friendship | the same |
| `generations` | how often Redis' soft state began anew (see `generations`) | `redis` |
"""

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

Document = dict[str, Any]

USERS = "users"
CREDENTIALS = "credentials"
DEVICES = "devices"
HOMES = "homes"
INVITES = "invites"
MESSAGES = "messages"
CONVERSATIONS = "conversations"
GROUPS = "groups"
MEMBERS = "members"
FRIENDSHIPS = "friendships"
PRESENCE = "presence"
COMMANDS = "commands"
OUTCOMES = "outcomes"
GENERATIONS = "generations"

# The store removes a document some time after the date in its `expires`.
_EXPIRES = IndexModel([("expires", ASCENDING)], expireAfterSeconds=0, name="expires")

INDEXES: dict[str, list[IndexModel]] = {
    USERS: [IndexModel([("username", ASCENDING)], unique=True, name="username")],
    DEVICES: [IndexModel([("uid", ASCENDING)], name="uid"), _EXPIRES],
    HOMES: [_EXPIRES],
    INVITES: [IndexModel([("id", ASCENDING)], unique=True, name="id"), _EXPIRES],
    MESSAGES: [
        IndexModel([("conv", ASCENDING), ("seq", ASCENDING)], unique=True, name="conv_seq"),
        IndexModel(
            [("conv", ASCENDING), ("ref", ASCENDING), ("sender", ASCENDING)],
            partialFilterExpression={"ref": {"$exists": True}},
            name="conv_ref_sender",
        ),
    ],
    CONVERSATIONS: [IndexModel([("uid", ASCENDING)], name="uid")],
    GROUPS: [
        IndexModel(
            [("search", ASCENDING)],
            partialFilterExpression={"search": {"$exists": True}},
            name="search",
        )
    ],
    MEMBERS: [
        IndexModel(
            [("uid", ASCENDING), ("state", ASCENDING), ("gid", ASCENDING)], name="uid_state_gid"
        ),
        IndexModel(
            [("gid", ASCENDING), ("state", ASCENDING), ("uid", ASCENDING)], name="gid_state_uid"
        ),
        IndexModel([("gid", ASCENDING), ("first", ASCENDING)], name="gid_first"),
        IndexModel(
            [("uid", ASCENDING), ("added", ASCENDING)],
            partialFilterExpression={"added": {"$exists": True}},
            name="uid_added",
        ),
    ],
    FRIENDSHIPS: [IndexModel([("states", ASCENDING)], name="states")],
    COMMANDS: [_EXPIRES],
}


def create_indexes(database: Database[Any]) -> None:
    """Makes every index that is not there yet. Safe to repeat and to run side by side."""
    for name, indexes in INDEXES.items():
        database[name].create_indexes(indexes)
