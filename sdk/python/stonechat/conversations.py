"""Conversations: one's list of them, and how one keeps each."""

from dataclasses import dataclass
from typing import Any, Self

from stonechat import shape
from stonechat.entry import Entry
from stonechat.params import Call, given


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation in one's list. `unread` counts messages after `read_seq`, `mentioned` those
    that mention oneself; `peer_read_seq`, in a direct one, is how far the other has read; of one
    that was `left` nothing comes any more; `changed_at` is UTC milliseconds."""

    conv: str
    last_seq: int = 0
    last_entry: Entry | None = None
    read_seq: int = 0
    unread: int = 0
    mentioned: int = 0
    pinned: bool = False
    muted: bool = False
    hidden: bool = False
    left: bool = False
    peer_read_seq: int | None = None
    changed_at: int = 0

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class ConversationState:
    """How one keeps a conversation."""

    conv: str
    read_seq: int = 0
    pinned: bool = False
    muted: bool = False
    hidden: bool = False

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Conversations:
    """`client.conversations`. Raises `Forbidden` for those that one is no member of."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, changed_since: int | None = None) -> list[Conversation]:
        """All of them, the last changed first, hidden ones and those that were left too; or those
        that changed since then (UTC milliseconds, by the server's clock)."""
        found: dict[str, Conversation] = {}
        after: str | None = None
        while True:
            params = given(changed_since=changed_since, after=after)
            page = await self._call("conversation.list", params)
            listed = shape.read_all(Conversation.parse, page, "conversations")
            found |= {each.conv: each for each in listed}
            after = shape.following(page, after)
            if after is None:
                return [*found.values()]

    async def read(self, conv: str, seq: int) -> None:
        """Everything up to `seq` was read."""
        await self._call("conversation.read", {"conv": conv, "seq": seq})

    async def typing(self, conv: str) -> None:
        """Tells the others that one is writing."""
        await self._call("conversation.typing", {"conv": conv})

    async def update(
        self,
        conv: str,
        *,
        pinned: bool | None = None,
        muted: bool | None = None,
        hidden: bool | None = None,
    ) -> ConversationState:
        """Changes what is given. A hidden one is hidden until something new comes."""
        params = given(conv=conv, pinned=pinned, muted=muted, hidden=hidden)
        return ConversationState.parse(await self._call("conversation.update", params))
