"""Who belongs to a conversation, and so may read and write it.

All refusals look the same, so that an answer tells nobody which conversations exist.
"""

import itertools
from collections.abc import Collection, Iterable

from shared import people
from shared.conversation import Conversation, parse
from shared.errors import CallError, Reason, invalid_params
from shared.members import NOBODY, Standing, members


def parsed(conv: str) -> Conversation:
    """The conversation a name means. Raises `invalid_params`."""
    place = parse(conv)
    if place is None:
        raise invalid_params(["conv"], "not the name of a conversation")
    return place


def require_member(uid: str, conv: str) -> Conversation:
    """The conversation, of which `uid` is a member now. Raises `not_a_member`."""
    place = parsed(conv)
    if standing(uid, place).role is None:
        raise CallError(Reason.NOT_A_MEMBER)
    return place


def require_reader(uid: str, conv: str) -> Standing:
    """The standing of `uid`, who may read some of it: who left a group reads up to there. Raises
    `not_a_member`."""
    found = standing(uid, parsed(conv))
    if not found.may_read:
        raise CallError(Reason.NOT_A_MEMBER)
    return found


def standing(uid: str, place: Conversation) -> Standing:
    """Where a person stands in a conversation."""
    return standings([(uid, place)])[uid, place]


def standings(
    pairs: Iterable[tuple[str, Conversation]],
) -> dict[tuple[str, Conversation], Standing]:
    """The same for many, in one round trip."""
    asked = list(dict.fromkeys(pairs))
    wanted: dict[str, list[str]] = {}
    for uid, place in asked:
        if place.kind == "g":
            wanted.setdefault(place.ids[0], []).append(uid)
    found = members().standings(wanted) if wanted else {}
    direct = [place.ids for uid, place in asked if place.kind == "d" and uid in place.ids]
    nobody = people.strangers(itertools.chain.from_iterable(direct))
    return {
        (uid, place): found[place.ids[0], uid] if place.kind == "g" else own(uid, place, nobody)
        for uid, place in asked
    }


def own(uid: str, place: Conversation, nobody: Collection[str] = ()) -> Standing:
    """The standing in a conversation that is no group: its people have equal rights. Nobody is in
    one with `nobody`, uids that belong to no one."""
    return EQUAL if uid in place.ids and not any(each in nobody for each in place.ids) else NOBODY


EQUAL = Standing("member", 1, None)
