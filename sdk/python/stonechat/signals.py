"""Signals: what is told and not kept, by type."""

from dataclasses import dataclass
from typing import Any, cast

from stonechat import shape
from stonechat.conversations import ConversationState
from stonechat.errors import BadAnswer
from stonechat.presence import Presence
from stonechat.users import OwnUser


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody (or oneself, on another device) has read up to `seq`."""

    conv: str
    uid: str
    seq: int


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody is writing at this moment."""

    conv: str
    uid: str


@dataclass(frozen=True, slots=True)
class ConversationChanged(ConversationState):
    """Another device of one's own pinned, muted or hid a conversation, or took that back."""


@dataclass(frozen=True, slots=True)
class Other:
    """A signal that this library does not know, or not in this form."""

    method: str
    params: dict[str, Any]


Signal = Read | Typing | Presence | ConversationChanged | OwnUser | Other

_KINDS: dict[str, type[Any]] = {
    "read": Read,
    "typing": Typing,
    "presence": Presence,
    "conversation": ConversationChanged,
    "user": OwnUser,
}


def parse(method: str, params: dict[str, Any]) -> Signal:
    """From the protocol's form. Names that are not known are ignored."""
    kind = _KINDS.get(method)
    if kind is None:
        return Other(method, params)
    try:
        return cast(Signal, shape.read(kind, params))
    except BadAnswer:
        return Other(method, params)
