"""The shapes of what polls send."""

from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT


@with_config(EXACT)
class Created(TypedDict):
    """The entry that the poll is. `conv` and `seq` name the poll."""

    conv: str
    seq: int
    id: str
    ts: int


@with_config(EXACT)
class Tallied(TypedDict):
    """How many chose each option, in the options' order. Of two tallies of one poll the one with
    the higher `rev` is the later, whichever came first. Also the params of `poll.tally`."""

    conv: str
    seq: int
    votes: list[int]
    rev: int


@with_config(EXACT)
class OwnTally(Tallied):
    """The same, with the option that the caller chose."""

    choice: NotRequired[int]
