"""A person's list of conversations, in pages: the last changed first.

Who has more conversations than go on a page costs one round trip more, which asks for the numbers
alone and so finds which ones are on it.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from shared import conversation, guarding, pages
from shared.call import Call
from shared.log import log
from shared.pages import Place
from shared.states import State, states
from shared.tails import Tail

from .params import ListConversations

NOTHING = State()
Tails = Mapping[str, Tail]


def read(calls: Sequence[Call[ListConversations]]) -> list[Any]:
    """The answers to `conversation.list`."""
    now, known = states().of(list(dict.fromkeys(call.uid for call in calls)))
    asked = [_Page(call, known[call.uid]) for call in calls]
    large = [page for page in asked if len(page.convs) > page.limit]
    small = [page for page in asked if len(page.convs) <= page.limit]
    numbers = log().tails.numbers(_united(large), recorded=True)
    for page in large:
        page.choose(numbers)
    tails = log().tails.read(_united(asked), recorded=True)
    for page in small:
        page.choose(tails)
    return guarding.each(asked, lambda page: page.answer(tails) | {"now": now}, "conversation.list")


def _united(asked: Sequence["_Page"]) -> list[str]:
    return list(dict.fromkeys(conv for page in asked for conv in page.convs))


class _Page:
    """What one call asks for. `convs` are those that may be on the page."""

    def __init__(self, call: Call[ListConversations], mine: Mapping[str, State]) -> None:
        self.limit = call.params.limit
        self.convs = list(dict.fromkeys([*mine, conversation.inbox(call.uid)]))
        self._call = call
        self._mine = mine
        self._places: list[Place] = []

    def choose(self, tails: Tails) -> None:
        """Finds which conversations are on the page, and one that follows. What changes from here
        on is shown as it is then, in the place it had."""
        since, after = self._call.params.changed_since or 0, self._call.params.after
        seen = {conv: seen_by(self._state(conv), tails[conv]) for conv in self.convs}
        places = [Place(self._changed(conv, tail), conv) for conv, tail in seen.items() if tail.seq]
        listed = [
            place
            for place in places
            if place.number >= since and (after is None or _order(place) > _order(after))
        ]
        self._places = heapq.nsmallest(self.limit + 1, listed, key=_order)
        self.convs = [place.name for place in self._places]

    def answer(self, tails: Tails) -> dict[str, Any]:
        """As much of the page as has room in one answer."""
        seen = {conv: seen_by(self._state(conv), tails[conv]) for conv in self.convs[: self.limit]}
        entries = log().tails.entries(seen)
        items = pages.fitting(
            self._item(conv, tail) | ({"last_entry": entries[conv]} if conv in entries else {})
            for conv, tail in seen.items()
        )
        answer: dict[str, Any] = {"conversations": items}
        if len(items) < len(self._places):
            answer["next"] = self._places[len(items) - 1].cursor()
        return answer

    def _state(self, conv: str) -> State:
        return self._mine.get(conv, NOTHING)

    def _changed(self, conv: str, tail: Tail) -> int:
        return max(tail.changed, self._state(conv).changed)

    def _item(self, conv: str, tail: Tail) -> dict[str, Any]:
        state = self._state(conv)
        item: dict[str, Any] = {
            "conv": conv,
            "last_seq": tail.seq,
            "read_seq": state.read_seq,
            "unread": tail.seq - state.read_seq,
            "pinned": state.pinned,
            "muted": state.muted,
            "hidden": is_hidden(state, tail),
            "changed_at": self._changed(conv, tail),
        }
        if state.until >= 0:
            item["left"] = True
        if _has_peer(conv):
            item["peer_read_seq"] = state.peer_read
        return item


def seen_by(state: State, tail: Tail) -> Tail:
    """The tail as a person sees it, for whom the group may be over."""
    if state.until < 0 or tail.seq <= state.until:
        return tail
    return Tail(state.until, state.changed)


def is_hidden(state: State, tail: Tail) -> bool:
    """Whether nothing was written since the person hid the conversation."""
    return state.hidden_at >= tail.seq


def _order(place: Place) -> tuple[int, str]:
    """The last changed first."""
    return -place.number, place.name


def _has_peer(conv: str) -> bool:
    """Whether this is a conversation of two; notes to oneself are not."""
    place = conversation.parse(conv)
    return place is not None and place.kind == "d" and len(set(place.ids)) > 1
