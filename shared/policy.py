"""Whether somebody may write into a conversation now: membership, mutes, blocks, strangers, and
whether there is anybody to write to.

Read in one pipeline for a whole batch, from copies that every change of the facts renews.
"""

import time
from collections.abc import Sequence

from shared import people
from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.friendships import Pair, Relation, friendships
from shared.generations import Generation, generations
from shared.members import Standing, Wanted, members
from shared.membership import own
from shared.settings import settings
from shared.stores import redis_client
from shared.telemetry import STEP_SECONDS


@STEP_SECONDS.labels("permit").time()
def writers(asked: Sequence[tuple[str, Conversation]]) -> list[Standing | CallError]:
    """The standing of each (uid, conversation), or why they may not write: `not_a_member`,
    `forbidden` (an inbox; somebody whom one blocked; a stranger, where only friends may write),
    `muted`, `blocked`, `not_found` (nobody is there)."""
    wanted: dict[str, list[str]] = {}
    pairs: list[Pair] = []
    for uid, place in dict.fromkeys(asked):
        if place.kind == "g":
            wanted.setdefault(place.ids[0], []).append(uid)
        elif place.kind == "d" and uid in place.ids:
            pairs.append((uid, place.other(uid)))
    relations, known = generations().within(lambda now: _facts(now, pairs, wanted))
    at = time.time() * 1000
    found: list[Standing | CallError] = []
    for uid, place in asked:
        standing = known[place.ids[0], uid] if place.kind == "g" else own(uid, place)
        refusal = _refusal(standing, place, at)
        if refusal is None and place.kind == "d":
            refusal = _between(relations[uid, place.other(uid)])
        found.append(refusal or standing)
    return _with_somebody(asked, found)


def _facts(
    now: Generation, pairs: Sequence[Pair], wanted: Wanted
) -> tuple[dict[Pair, Relation], dict[tuple[str, str], Standing]]:
    with redis_client().pipeline(transaction=False) as pipe:
        between = friendships().enqueue(now, pipe, pairs)
        members().enqueue(now, pipe, wanted)
        answers = now.execute(pipe)
    relations = friendships().found(now, pairs, answers[:between])
    return relations, members().found(now, wanted, answers[between:])


def _with_somebody(
    asked: Sequence[tuple[str, Conversation]], found: list[Standing | CallError]
) -> list[Standing | CallError]:
    direct = {
        index: place.ids
        for index, (_, place) in enumerate(asked)
        if place.kind == "d" and isinstance(found[index], Standing)
    }
    nobody = people.strangers(uid for ids in direct.values() for uid in ids)
    for index, ids in direct.items():
        if nobody.intersection(ids):
            found[index] = CallError(Reason.NOT_FOUND)
    return found


def _refusal(standing: Standing, place: Conversation, now: float) -> CallError | None:
    if standing.role is None:
        return CallError(Reason.NOT_A_MEMBER)
    if place.kind == "u":
        return CallError(Reason.FORBIDDEN, "nobody writes into an inbox")
    if standing.muted_until > now:
        return CallError(Reason.MUTED, until=standing.muted_until)
    return None


def _between(relation: Relation) -> CallError | None:
    if relation.blocked_by:
        return CallError(Reason.BLOCKED)
    if relation.blocked:
        return CallError(Reason.FORBIDDEN, "one whom you blocked")
    if not relation.friends and settings().strangers == "friends":
        return CallError(Reason.FORBIDDEN, "only friends write to each other")
    return None


def writer(uid: str, place: Conversation) -> Standing:
    """The same for one. Raises the refusal."""
    (found,) = writers([(uid, place)])
    if isinstance(found, CallError):
        raise found
    return found
