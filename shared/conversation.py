"""Conversations by name: `d:<uid>:<uid>` (uids sorted), `g:<gid>`, `u:<uid>`."""

import re
from typing import Literal, NamedTuple

# For schemas too, which cannot say that the uids are sorted: `parse` decides.
PATTERN = r"^(?:d:([a-z0-9]{8,40}):([a-z0-9]{8,40})|([gu]):([a-z0-9]{8,40}))$"
_match = re.compile(PATTERN).fullmatch

Kind = Literal["d", "g", "u"]


class Conversation(NamedTuple):
    """A parsed name. `ids` holds the two uids of a `d`, the gid of a `g`, the uid of a `u`."""

    kind: Kind
    ids: tuple[str, ...]

    def other(self, uid: str) -> str:
        """Of a `d`: the one who is not `uid` (or `uid`, in one's notes to oneself)."""
        first, second = self.ids
        return second if first == uid else first


def direct(one: str, other: str) -> str:
    """The name of the conversation of two people."""
    first, second = sorted((one, other))
    return f"d:{first}:{second}"


def group(gid: str) -> str:
    """The name of a group's conversation."""
    return f"g:{gid}"


def inbox(uid: str) -> str:
    """The name of a person's own inbox."""
    return f"u:{uid}"


def parse(name: str) -> Conversation | None:
    """The conversation a name means, or None where it means none. Nothing else reads names."""
    match = _match(name)
    if match is None:
        return None
    first, second, kind, one = match.groups()
    if kind is not None:
        return Conversation("g" if kind == "g" else "u", (one,))
    return Conversation("d", (first, second)) if first <= second else None
