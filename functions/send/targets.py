"""The message that a command is about, and who may see it."""

from shared import bodies, membership
from shared.collections import Document
from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.log import log
from shared.members import Standing, late
from shared.settings import settings


def readable(uid: str, conv: str) -> tuple[Conversation, Standing]:
    """The conversation, and where one stands who may read some of it. Raises `not_a_member`."""
    place = membership.parsed(conv)
    return place, membership.require_reader(uid, conv)


def message(conv: str, seq: int) -> Document | None:
    """The message with this number, None where it is none."""
    found = log().storage.between(conv, seq, seq)
    return found[0] if found and found[0]["type"] in bodies.TYPES else None


def sees(standing: Standing, seq: int) -> bool:
    """Whether the entry with this number is in one's sight."""
    return standing.first <= seq and (standing.last is None or seq <= standing.last)


def require_present(target: Document) -> None:
    """Raises `conflict` for a recalled message."""
    if "recalled" in target:
        raise CallError(Reason.CONFLICT, "the message was recalled")


def too_late(place: Conversation, standing: Standing, ref: int) -> tuple[str, ...] | None:
    """The members who joined after a message and do not see it; None where they are many."""
    if place.kind != "g" or standing.open:
        return ()
    return late(place.ids[0], ref, settings().late_limit)
