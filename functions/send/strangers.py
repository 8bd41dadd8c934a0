"""First messages to strangers: so many an hour, and no more."""

from collections.abc import Collection

from shared import keys
from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.friendships import friendships
from shared.settings import settings
from shared.states import states
from shared.stores import redis_client

_HOUR = 3600  # seconds

First = tuple[str, str, Conversation]  # sender, conversation by name and parsed


def refused(messages: Collection[First]) -> dict[tuple[str, str], CallError]:
    """Those (sender, conversation) of these messages that would begin one conversation with a
    stranger too many. Costs nothing where all conversations are known here."""
    new = states().new((conv, place) for _, conv, place in messages)
    begun = {(uid, conv): (uid, place.other(uid)) for uid, conv, place in messages if conv in new}
    if not begun:
        return {}
    between = friendships().relations(list(dict.fromkeys(begun.values())))
    firsts: dict[str, list[str]] = {}
    for (uid, conv), pair in begun.items():
        if not between[pair].friends:
            firsts.setdefault(uid, []).append(conv)
    refusals = {}
    for uid, convs in firsts.items():
        room, wait = _take(uid, len(convs))
        for conv in convs[room:]:
            refusals[uid, conv] = CallError(Reason.RATE_LIMITED, retry_after=wait)
    return refusals


def _take(uid: str, count: int) -> tuple[int, int]:
    """How many of so many first messages may be sent, and in how many seconds more may."""
    key = keys.first_messages(uid)
    with redis_client().pipeline() as pipe:
        pipe.incrby(key, count)
        pipe.expire(key, _HOUR, nx=True)
        pipe.ttl(key)
        used, _, wait = pipe.execute()
    room = settings().first_messages_per_hour - (used - count)
    return min(max(room, 0), count), max(wait, 1)
