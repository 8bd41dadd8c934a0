"""Whether somebody may write into a conversation now: membership, mutes, blocks, strangers.

Read in one pipeline for a whole batch, from copies that every change of the facts renews.
"""

import time
from collections.abc import Sequence

from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.members import Standing, members
from shared.membership import own
from shared.stores import redis_client


def writers(asked: Sequence[tuple[str, Conversation]]) -> list[Standing | CallError]:
    """The standing of each (uid, conversation), or why they may not write: `not_a_member`,
    `forbidden` (an inbox), `muted`, `blocked`."""
    wanted: dict[str, list[str]] = {}
    for uid, place in dict.fromkeys(asked):
        if place.kind == "g":
            wanted.setdefault(place.ids[0], []).append(uid)
    with redis_client().pipeline(transaction=False) as pipe:
        members().enqueue(pipe, wanted)
        answers = pipe.execute()
    known = members().found(wanted, answers)
    now = time.time() * 1000
    found: list[Standing | CallError] = []
    for uid, place in asked:
        standing = known[place.ids[0], uid] if place.kind == "g" else own(uid, place)
        if standing.role is None:
            found.append(CallError(Reason.NOT_A_MEMBER))
        elif place.kind == "u":
            found.append(CallError(Reason.FORBIDDEN, "nobody writes into an inbox"))
        elif standing.muted_until > now:
            found.append(CallError(Reason.MUTED, until=standing.muted_until))
        else:
            found.append(standing)
    return found


def writer(uid: str, place: Conversation) -> Standing:
    """The same for one. Raises the refusal."""
    (found,) = writers([(uid, place)])
    if isinstance(found, CallError):
        raise found
    return found
