"""Reading: histories, lists of conversations, and how far a person has read."""

from collections.abc import Sequence
from typing import Any

from shared.call import Call
from shared.function import Function
from shared.secretfiles import CONTENT_KEYS
from shared.shapes import ConversationState, Empty

from . import flags, histories, lists, marks, signals
from .params import ListConversations, Read, ReadHistory, Typing, Update
from .results import Conversations, PageOfEntries

sync = Function("sync", secrets=[CONTENT_KEYS])


@sync.batch("message.history", result=PageOfEntries, reads=True)
def read_history(calls: Sequence[Call[ReadHistory]]) -> list[Any]:
    """`entries`, ascending and without a hole: those that follow `after`, those that precede
    `before`, or the last ones; `first_seq` and `last_seq`, the first and the last number there is;
    `more`, whether it goes on in that direction. A page is bounded in bytes too. A short answer
    with `more` may also have stopped before an entry that may still appear. Of a group there is
    what the caller may see: from joining on, or all, and until leaving. Refuses with
    `not_a_member`."""
    return histories.read(calls)


@sync.batch("conversation.list", result=Conversations, reads=True)
def list_conversations(calls: Sequence[Call[ListConversations]]) -> list[Any]:
    """The caller's `conversations`, the last changed first; with `changed_since` those that changed
    at that time or later. Where there are more, `next` is what to give as `after`, with the same
    `changed_since`. The `now` of the first page is what to give as `changed_since` next time: no
    change between is missed, one of a conversation that no page had shown included. Hidden ones
    are listed; one that was left, or whose group was dismissed, is `left`."""
    return lists.read(calls)


@sync.method("conversation.update", result=ConversationState)
def update_conversation(call: Call[Update]) -> dict[str, Any]:
    """Pins, mutes or hides a conversation for the caller, and returns its state. A hidden one is
    hidden until it has another entry. The caller's other devices get a `conversation` signal with
    the state. Refuses with `not_a_member`."""
    return flags.update(call)


@sync.method("conversation.typing", result=Empty)
def tell_typing(call: Call[Typing]) -> dict[str, Any]:
    """Tells the others that the caller is writing. At most one signal a second passes, and none in
    a large group. Refuses with `not_a_member`, `muted`, `blocked` and `forbidden`, as writing
    would be."""
    return signals.tell_typing(call)


@sync.batch("conversation.read", result=Empty)
def read_conversations(calls: Sequence[Call[Read]]) -> list[Any]:
    """Everything up to `seq` was read; a lower mark than before changes nothing. Where it moved,
    the caller's other devices, and the other person of a direct conversation, get a `read` signal.
    Refuses with `not_a_member`, and `invalid_params` beyond the last entry."""
    return marks.read(calls)


start = sync.start
handle = sync.handle
ready = sync.ready
