"""What the methods of friends return."""

from typing import Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from shared.friendships import State
from shared.shapes import EXACT


@with_config(EXACT)
class StateNow(TypedDict):
    """The caller's state towards the other."""

    state: State


@with_config(EXACT)
class Friend(TypedDict):
    """Somebody as the caller has them. `since` (ms) is when the state began; `note` came with
    an open request; `alias`, `tags` and `ext` are the caller's own."""

    uid: str
    state: Literal["friend", "incoming", "outgoing", "blocked"]
    since: int
    alias: NotRequired[str]
    tags: NotRequired[list[str]]
    ext: NotRequired[dict[str, str]]
    note: NotRequired[str]


@with_config(EXACT)
class Friends(TypedDict):
    """A page of the list. `next` is there where it goes on."""

    friends: list[Friend]
    next: NotRequired[str]
