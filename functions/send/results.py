"""What the methods of messages return."""

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT


@with_config(EXACT)
class Sent(TypedDict):
    """The place of a message."""

    conv: str
    seq: int
    id: str
    ts: int


@with_config(EXACT)
class Appended(TypedDict):
    """The entry that a change of a message became."""

    seq: int
    ts: int
