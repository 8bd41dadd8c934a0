"""The client library: conversations as an app wants them, over any number of connections.

Responsibility: one signed-in device. Flow: `session` keeps a `connection` open, whose messages
`frames` reads → `client` hands answers to `calls` and entries to `sync`, which closes the gaps in
their `timeline` → `entries()` gives them in order; what is sent stays in the `outbox` of `calls`
until it is answered; `state` keeps all that across processes. The methods are in one module a noun
(`messages`, `conversations`, `users`, `friends`, `groups`, `presence`); a `bot` is all that with
signing in, failures and stopping done for it.

Invariants: an entry is applied only when its number follows the last one of its conversation, so
an app sees no gap, no repetition and no disorder; a command is repeated with the same `cid` until
it is answered, so it takes effect once; a session that was lost comes back by itself; nothing that
comes can break that.
"""

from importlib.metadata import version

from stonechat.auth import SignInConfig
from stonechat.bot import Bot
from stonechat.client import Client
from stonechat.conversations import Conversation, ConversationState
from stonechat.entry import Entry, Forwarded
from stonechat.errors import (
    BadAnswer,
    Conflict,
    Disconnected,
    Forbidden,
    Internal,
    InvalidParams,
    NotFound,
    NotSignedIn,
    OutboxFull,
    SignedOut,
    StateInUse,
    StonechatError,
    TooFast,
    TooLarge,
    TryAgain,
    Unauthenticated,
    UnknownMethod,
    UnusableState,
)
from stonechat.friends import Friend
from stonechat.groups import Group, Invitation, JoinRequest, Made, Member
from stonechat.messages import Appended, Sent
from stonechat.presence import Presence
from stonechat.signals import ConversationChanged, Other, Read, Signal, Typing
from stonechat.state import MemoryState, SqliteState, State
from stonechat.users import OwnUser, User

__version__ = version("stonechat")

__all__ = [
    "Appended",
    "BadAnswer",
    "Bot",
    "Client",
    "Conflict",
    "Conversation",
    "ConversationChanged",
    "ConversationState",
    "Disconnected",
    "Entry",
    "Forbidden",
    "Forwarded",
    "Friend",
    "Group",
    "Internal",
    "InvalidParams",
    "Invitation",
    "JoinRequest",
    "Made",
    "Member",
    "MemoryState",
    "NotFound",
    "NotSignedIn",
    "Other",
    "OutboxFull",
    "OwnUser",
    "Presence",
    "Read",
    "Sent",
    "SignInConfig",
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
    "UnusableState",
    "User",
    "__version__",
]
