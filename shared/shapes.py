"""The shapes that the server sends, as the published reference and the tests hold them.

Methods name the shape of their result when they are registered; what more than one function sends,
and what comes unasked, stands here.
"""

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

EXACT = ConfigDict(extra="forbid", strict=True)


@with_config(EXACT)
class Empty(TypedDict):
    """Nothing: the call was done."""


@with_config(EXACT)
class Forwarded(TypedDict):
    """Who first wrote a message that was passed on, and when (ms)."""

    sender: str
    ts: int


@with_config(EXACT)
class Entry(TypedDict):
    """An entry of a conversation's log. `ts`, `edited` and `recalled` are ms; `ref` is the number
    of the entry that an edit, recall or reaction is about; `cid` is there for the sender alone; a
    recalled entry and a void have no body, nor has one that the server cannot read any more
    (`unreadable`)."""

    conv: str
    seq: int
    id: str
    ts: int
    sender: str
    type: str
    body: NotRequired[dict[str, Any]]
    ref: NotRequired[int]
    reply_to: NotRequired[int]
    mentions: NotRequired[list[str]]
    forwarded: NotRequired[Forwarded]
    cid: NotRequired[str]
    edited: NotRequired[int]
    recalled: NotRequired[int]
    unreadable: NotRequired[Literal[True]]


@with_config(EXACT)
class ConversationState(TypedDict):
    """How a person keeps a conversation. Also sent to the person's other devices."""

    conv: str
    read_seq: int
    pinned: bool
    muted: bool
    hidden: bool


@with_config(EXACT)
class Presence(TypedDict):
    """Whether somebody is there. `last_seen` (ms) where it may be known."""

    uid: str
    status: Literal["online", "away", "busy", "invisible", "offline"]
    last_seen: NotRequired[int | None]
    text: NotRequired[str]


@with_config(EXACT)
class ReadMark(TypedDict):
    """Somebody has read up to a number."""

    conv: str
    uid: str
    seq: int


@with_config(EXACT)
class Typing(TypedDict):
    """Somebody is writing."""

    conv: str
    uid: str


@with_config(EXACT)
class Hint(TypedDict):
    """A conversation goes up to this number: fetch what is missing."""

    conv: str
    last_seq: int


@with_config(EXACT)
class User(TypedDict):
    """Who somebody is."""

    uid: str
    username: str
    name: NotRequired[str]
    avatar: NotRequired[str]
    about: NotRequired[str]
    ext: NotRequired[dict[str, str]]


@with_config(EXACT)
class OwnUser(User):
    """One's own profile."""

    friend_policy: Literal["approve", "open", "nobody"]
    group_policy: Literal["anyone", "friends", "nobody"]


@with_config(EXACT)
class Channels(TypedDict):
    """What a session is to listen to."""

    channels: list[str]


@with_config(EXACT)
class Limits(TypedDict):
    """What one session may do."""

    frame_bytes: int
    calls_per_second: float
    burst: int
    in_flight: int


@with_config(EXACT)
class Opened(TypedDict):
    """A session. `expires_at` and `server_time` are ms."""

    uid: str
    sid: str
    expires_at: int
    server_time: int
    limits: Limits


@with_config(EXACT)
class Renewed(TypedDict):
    """How long the session lives now (ms)."""

    expires_at: int


# What comes without being asked for, by method.
NOTIFICATIONS: dict[str, Any] = {
    "entry": Entry,
    "read": ReadMark,
    "typing": Typing,
    "presence": Presence,
    "user": OwnUser,
    "conversation": ConversationState,
    "conversation.hint": Hint,
    "session.resync": Empty,
}
