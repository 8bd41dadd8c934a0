"""What the methods return."""

from typing import Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT, Entry


@with_config(EXACT)
class PageOfEntries(TypedDict):
    """A part of a conversation. `first_seq` and `last_seq` are the first and the last number there
    is for the caller."""

    entries: list[Entry]
    first_seq: int
    last_seq: int
    more: bool


@with_config(EXACT)
class LastEntry(Entry):
    """An entry as lists show it: a long body is shortened, and says so."""

    truncated: NotRequired[Literal[True]]


@with_config(EXACT)
class Listed(TypedDict):
    """A conversation in a person's list. `changed_at` is ms. `peer_read_seq`, in a direct one, is
    how far the other has read. Of a group that one has `left`, or that was dismissed, nothing comes
    any more; who left it gets no `last_entry` of it."""

    conv: str
    last_seq: int
    last_entry: NotRequired[LastEntry]
    read_seq: int
    unread: int
    pinned: bool
    muted: bool
    hidden: bool
    left: NotRequired[Literal[True]]
    peer_read_seq: NotRequired[int]
    changed_at: int


@with_config(EXACT)
class Conversations(TypedDict):
    """A page of the list. `next` is there where it goes on."""

    conversations: list[Listed]
    now: int
    next: NotRequired[str]
