"""The rules: what two people's states become when one of them acts. Nothing else is known here.

A standing is (the actor's state, the other's state). There are seven.
"""

from typing import Literal, NamedTuple

from shared.errors import CallError, Reason
from shared.friendships import State

Standing = tuple[State, State]
Action = Literal["request", "accept", "decline", "remove", "block", "unblock", "update"]
Policy = Literal["approve", "open", "nobody"]
Event = Literal["requested", "accepted", "declined", "removed", "blocked", "unblocked", "updated"]

NOTHING: Standing = ("none", "none")
ASKED: Standing = ("outgoing", "incoming")
INVITED: Standing = ("incoming", "outgoing")
FRIENDS: Standing = ("friend", "friend")
BLOCKS: Standing = ("blocked", "none")
SHUNNED: Standing = ("none", "blocked")
BOTH: Standing = ("blocked", "blocked")

STANDINGS = (NOTHING, ASKED, INVITED, FRIENDS, BLOCKS, SHUNNED, BOTH)

_CONFLICT, _MISSING, _REFUSED = Reason.CONFLICT, Reason.NOT_FOUND, Reason.BLOCKED

# What each standing becomes, or why it does not. But for a request, which `blocked` answers, a row
# says the same for NOTHING as for SHUNNED, and for BLOCKS as for BOTH: nobody learns who blocks
# them. The request to somebody new is up to that one's policy.
# fmt: off
_TABLE: dict[Action, tuple[Standing | Reason, ...]] = {
    #           NOTHING    ASKED      INVITED    FRIENDS    BLOCKS     SHUNNED    BOTH
    "request": (ASKED,     ASKED,     FRIENDS,   FRIENDS,   _CONFLICT, _REFUSED,  _CONFLICT),
    "accept":  (_MISSING,  _CONFLICT, FRIENDS,   _CONFLICT, _CONFLICT, _MISSING,  _CONFLICT),
    "decline": (_MISSING,  _CONFLICT, NOTHING,   _CONFLICT, _CONFLICT, _MISSING,  _CONFLICT),
    "remove":  (_CONFLICT, NOTHING,   _CONFLICT, NOTHING,   _CONFLICT, _CONFLICT, _CONFLICT),
    "block":   (BLOCKS,    BLOCKS,    BLOCKS,    BLOCKS,    BLOCKS,    BOTH,      BOTH),
    "unblock": (_CONFLICT, _CONFLICT, _CONFLICT, _CONFLICT, NOTHING,   _CONFLICT, SHUNNED),
    "update":  (_CONFLICT, _CONFLICT, _CONFLICT, FRIENDS,   _CONFLICT, _CONFLICT, _CONFLICT),
}
# fmt: on
_POLICIES: dict[Policy, Standing | Reason] = {
    "approve": ASKED,
    "open": FRIENDS,
    "nobody": Reason.FORBIDDEN,
}
_EVENTS: dict[Action, Event] = {
    "request": "requested",
    "accept": "accepted",
    "decline": "declined",
    "remove": "removed",
    "block": "blocked",
    "unblock": "unblocked",
    "update": "updated",
}


class Step(NamedTuple):
    """What follows: the new standing, and what the inbox of each is told; None: nothing."""

    standing: Standing
    mine: Event | None = None
    theirs: Event | None = None


def step(action: Action, present: Standing, policy: Policy = "approve") -> Step:
    """What an action leads to; `policy` is the other's. Raises `CallError` where it is refused."""
    outcome = _TABLE[action][STANDINGS.index(present)]
    if action == "request" and present == NOTHING:
        outcome = _POLICIES[policy]
    if isinstance(outcome, Reason):
        raise CallError(outcome)
    if outcome == present and action != "update":
        return Step(present)
    event = _EVENTS[action]
    if action == "request" and outcome == FRIENDS:
        event = "accepted"
    if outcome[1] == present[1]:
        return Step(outcome, event)
    return Step(outcome, event, "removed" if action == "block" else event)
