"""Telling changes of presence to those who may know: for all people, one query of each kind, one
pipeline, one publication."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared import channels, rpc
from shared.bus import Delivery, Item, bus
from shared.events import now_ms
from shared.friendships import friendships
from shared.generations import Generation, generations
from shared.members import groups_of
from shared.settings import settings
from shared.stores import redis_client

from . import told
from .choices import Choice, choices, saw
from .told import Wanted

_ROUNDS = 5


class Look(NamedTuple):
    """Look at a person: something happened `at` (ms). Where it chose something, whether it is
    connected does not change. `again`: it may be that nothing is new."""

    at: int
    chose: bool = False
    again: bool = False


class Change(NamedTuple):
    uid: str
    shown: dict[str, Any]
    number: int


def shown(uid: str, status: str, choice: Choice) -> dict[str, Any]:
    """A presence as clients get it."""
    if status == "offline":
        return {"uid": uid, "status": status, "last_seen": choice.last_seen}
    text = {"text": choice.text} if choice.text else {}
    return {"uid": uid, "status": status, "last_seen": None} | text


def tell(looks: Mapping[str, Look], also: Sequence[Item] = ()) -> dict[str, float]:
    """Tells what has changed of these people, and publishes `also` with it. Returns those at whom
    one is to look again, and after how many seconds."""
    waits: dict[str, float] = {}
    left, grace = list(looks), settings().presence_grace
    for _ in range(_ROUNDS):
        now, chosen = now_ms(), choices(left)
        rest = {uid: min(grace, grace - (now - looks[uid].at) / 1000) for uid in left}
        claims = told.claim([_wanted(uid, chosen[uid], looks[uid], rest[uid]) for uid in left])
        changes, again = [], []
        for uid, (outcome, status, number) in zip(left, claims, strict=True):
            if outcome == "tell":
                changes.append(_change(uid, status, chosen[uid], looks[uid], number))
            elif outcome == "stale":
                again.append(uid)
            elif outcome == "claimed":
                waits[uid] = told.LEASE
            elif outcome == "away" and not looks[uid].chose:
                waits[uid] = rest[uid]
        left = again + _publish(changes, also)
        also = ()
        if not left:
            return waits
    return waits | dict.fromkeys(left, told.LEASE)


def _wanted(uid: str, choice: Choice, look: Look, rest: float) -> Wanted:
    return Wanted(
        uid,
        choice.rev,
        choice.shown,
        choice.shown_text,
        gone=rest <= 0 and not look.chose,
        quiet=choice.invisible or look.again,
    )


def _change(uid: str, status: str, choice: Choice, look: Look, number: int) -> Change:
    left = choice._replace(last_seen=max(look.at, choice.last_seen or 0))
    return Change(uid, shown(uid, status, left), number)


def _publish(changes: Sequence[Change], also: Sequence[Item]) -> list[str]:
    """Returns those of whom something else may have been told meanwhile."""
    if not changes:
        bus().publish(also)
        return []
    saw({change.uid: change.shown["last_seen"] for change in changes if change.shown["last_seen"]})
    items = [*_deliveries(changes), *also]

    def work(now: Generation) -> list[Any]:
        with redis_client().pipeline(transaction=False) as pipe:
            bus().enqueue(pipe, items)
            for change in changes:
                told.confirm(now, pipe, change.uid, change.number)
            return now.execute(pipe)[-len(changes) :]

    confirmed = generations().within(work)
    return [change.uid for change, ok in zip(changes, confirmed, strict=True) if not ok]


def _deliveries(changes: Sequence[Change]) -> list[Item]:
    """To friends and to those who watch a common group; never to the blocked, nor to oneself."""
    uids = [change.uid for change in changes]
    friends, blocked = friendships().friends_of(uids), friendships().blocked_of(uids)
    groups = groups_of(uids)
    items: list[Item] = []
    for uid, status, _ in changes:
        people = [channels.user(friend) for friend in friends[uid] - blocked[uid]]
        watchers = [channels.presence(gid) for gid in groups[uid]]
        frame = rpc.notification("presence", status)
        skipped = (uid, *blocked[uid]) if watchers else (uid,)
        if people or watchers:
            items.append(Delivery((*people, *watchers), frame, skip_users=skipped))
    return items
