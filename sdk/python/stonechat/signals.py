"""Signals: what is told and not kept, by type."""

from dataclasses import dataclass
from typing import Any

from stonechat.presence import Presence


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
class ConversationChanged:
    """Another device of one's own pinned, muted or hid a conversation, or took that back."""

    conv: str
    read_seq: int
    pinned: bool
    muted: bool
    hidden: bool


@dataclass(frozen=True, slots=True)
class Other:
    """A signal of a function that this library does not know."""

    method: str
    params: dict[str, Any]


Signal = Read | Typing | Presence | ConversationChanged | Other


def parse(method: str, params: dict[str, Any]) -> Signal:
    """From the protocol's form. Names that are not known are ignored."""
    match method, params:
        case "read", {"conv": conv, "uid": uid, "seq": seq}:
            return Read(conv, uid, seq)
        case "typing", {"conv": conv, "uid": uid}:
            return Typing(conv, uid)
        case "presence", {"uid": _, "status": _}:
            return Presence.parse(params)
        case "conversation", {"conv": conv, "read_seq": seq, "pinned": pinned, **rest}:
            return ConversationChanged(
                conv, seq, pinned, rest.get("muted", False), rest.get("hidden", False)
            )
    return Other(method, params)
