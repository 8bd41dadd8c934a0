"""A person's list of friends, in pages: the oldest relation first."""

import heapq
from typing import Any

from shared import pages
from shared.friendships import ALL, State, friendships, state_of
from shared.pages import Place

from . import pairs


def page(uid: str, state: State | None, after: Place | None, limit: int) -> dict[str, Any]:
    """At most `limit` of those with whom `uid` is `state`, or anything, and who stand behind
    `after`."""
    states = [state] if state else ALL
    behind = (place for place in friendships().places(uid, states) if not after or place > after)
    places = heapq.nsmallest(limit + 1, behind)
    documents = friendships().of(uid, (place.name for place in places[:limit]))
    # Who is something else by now stands elsewhere, or nowhere.
    there = [
        place
        for place in places[:limit]
        if place.name in documents and state_of(documents[place.name], uid) in states
    ]
    friends = pages.fitting(pairs.friend(documents[place.name], uid) for place in there)
    answer: dict[str, Any] = {"friends": friends}
    if len(friends) < len(there):
        answer["next"] = there[len(friends) - 1].cursor()
    elif len(places) > limit:
        answer["next"] = places[limit - 1].cursor()
    return answer
