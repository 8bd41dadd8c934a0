"""The client library: conversations as an app wants them, over any number of connections.

Responsibility: one signed-in device. Flow: `session` keeps a `connection` open, which moves frames
→ `client` hands answers to `calls` and entries to `sync`, which closes the gaps in their `timeline`
→ `entries()` gives them in order; what is sent stays in the `outbox` of `calls` until it is
answered; `state` keeps all that across processes.

Invariants: an entry is applied only when its number follows the last one of its conversation, so
an app sees no gap, no repetition and no disorder; a command is repeated with the same `cid` until
it is answered, so it takes effect once; a session that was lost comes back by itself.
"""

from stonechat.client import Client, Sent
from stonechat.entry import Entry
from stonechat.errors import (
    Conflict,
    Disconnected,
    Forbidden,
    Internal,
    InvalidParams,
    NotFound,
    OutboxFull,
    SignedOut,
    StateInUse,
    StonechatError,
    TooFast,
    TooLarge,
    TryAgain,
    Unauthenticated,
    UnknownMethod,
)
from stonechat.friends import Friend
from stonechat.groups import Group, Invitation, JoinRequest, Member
from stonechat.presence import Presence
from stonechat.signals import ConversationChanged, Other, Read, Signal, Typing
from stonechat.state import MemoryState, SqliteState, State

__all__ = [
    "Client",
    "Conflict",
    "ConversationChanged",
    "Disconnected",
    "Entry",
    "Forbidden",
    "Friend",
    "Group",
    "Internal",
    "InvalidParams",
    "Invitation",
    "JoinRequest",
    "Member",
    "MemoryState",
    "NotFound",
    "Other",
    "OutboxFull",
    "Presence",
    "Read",
    "Sent",
    "Signal",
    "SignedOut",
    "SqliteState",
    "State",
    "StateInUse",
    "StonechatError",
    "TooFast",
    "TooLarge",
    "TryAgain",
    "Typing",
    "Unauthenticated",
    "UnknownMethod",
]
