"""Presence: who is there, as far as others may know.

Somebody is connected while a connector has a session of theirs, which Redis knows; events of
sessions only say at whom to look again. What others see is the status one chose while connected,
else `offline`; `invisible` is seen as `offline`. Friends, and members of a common group, see it,
unless the person has blocked them.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, with_config
from typing_extensions import TypedDict

from shared import channels, keys, rpc
from shared.bus import Delivery, Membership
from shared.call import Call
from shared.errors import CallError, Reason, invalid_params
from shared.events import Happened, now_ms
from shared.friendships import friendships
from shared.function import Function
from shared.members import groups_of, members_of
from shared.membership import parsed
from shared.params import Cid, Conv, Id, Params
from shared.secretfiles import CONTENT_KEYS
from shared.settings import settings
from shared.shapes import EXACT, Empty, Presence
from shared.stores import redis_client

from . import told
from .choices import Choice, Status, choices, choose
from .telling import Look, shown, tell

presence = Function("presence", secrets=[CONTENT_KEYS])

_ROUNDS = 5
_PAUSES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # seconds


class Get(Params):
    uids: list[Id] = Field(min_length=1, max_length=200)


class Set(Params):
    status: Status
    text: str = Field("", max_length=140)
    cid: Cid | None = None


class Watch(Params):
    conv: Conv


@with_config(EXACT)
class Presences(TypedDict):
    presence: list[Presence]


@presence.method("presence.get", result=Presences, reads=True)
def get(call: Call[Get]) -> dict[str, Any]:
    """`presence`, in the order of `uids`: `{uid, status, last_seen, text?}`, where `last_seen` is
    null while connected. Of those whom the caller may not see, and of nobody, only `{uid, status:
    "offline"}`. Of oneself it is what one chose."""
    uids = list(dict.fromkeys(call.params.uids))
    seen = _seen(_visible(call.uid, uids))
    if call.uid in uids:
        connected = bool(told.look([call.uid]))
        seen[call.uid] = _own(call.uid, connected, choices([call.uid])[call.uid])
    return {"presence": [seen.get(uid, {"uid": uid, "status": "offline"}) for uid in uids]}


@presence.method("presence.set", result=Empty)
def set_status(call: Call[Set]) -> dict[str, Any]:
    """Chooses the status to show, and a text with it (without `text` there is none). It stays
    until another is chosen. All who may see it are told, and the caller's other devices."""
    choice = choose(call.uid, call.params.status, call.params.text)
    frame = rpc.notification("presence", _own(call.uid, True, choice))
    own = Delivery((channels.user(call.uid),), frame, skip_session=call.caller.session)
    tell({call.uid: Look(now_ms(), chose=True)}, [own])
    return {}


@presence.method("presence.watch", result=Empty)
def watch(call: Call[Watch]) -> dict[str, Any]:
    """This session gets the presence of the group's members until it ends, stops watching or its
    user leaves the group; first of those who are connected now, unless the group is large. Refuses
    with `not_a_member`, with `invalid_params` what is no group, and a call without a session."""
    uid, gid, at = call.uid, _group(call), now_ms()
    call.require_member(call.params.conv)
    channel = channels.presence(gid)
    joined = Membership(
        "subscribe", uid, channel, session=call.caller.session, at=at, along=channels.group(gid)
    )
    call.publish([joined])
    _until_live(uid, channel)
    try:
        call.require_member(call.params.conv)
    except CallError:  # left meanwhile, perhaps before it was subscribed
        unwatch(call)
        raise
    limit = settings().presence_watch_limit
    members = members_of(gid, limit + 1)
    if len(members) <= limit:
        _tell_present(call, members)
    return {}


@presence.method("presence.unwatch", result=Empty)
def unwatch(call: Call[Watch]) -> dict[str, Any]:
    """Ends `presence.watch` for this session. Refuses with `invalid_params` what is no group, and a
    call without a session."""
    channel = channels.presence(_group(call))
    call.publish([Membership("unsubscribe", call.uid, channel, session=call.caller.session)])
    return {}


@presence.event("session.opened")
@presence.event("session.closed")
def look_again(happened: Sequence[Happened]) -> list[CallError | None]:
    """Tells who came and who went, and asks for the event again where it is too early to say."""
    looks: dict[str, Look] = {}
    for each in happened:
        uid, look = each.data["uid"], Look(each.data["at"], again=each.data.get("again", False))
        known = looks.get(uid, look)
        looks[uid] = Look(max(known.at, look.at), again=known.again and look.again)
    waits = tell(looks)
    return [_later(waits.get(each.data["uid"])) for each in happened]


def _later(wait: float | None) -> CallError | None:
    return None if wait is None else CallError(Reason.UNAVAILABLE, retry_after=round(wait, 3))


def _visible(uid: str, uids: Iterable[str]) -> list[str]:
    """Those, but for oneself, whose presence a person may see."""
    relations = friendships().relations([(uid, other) for other in uids if other != uid])
    open_to = {other: each for (_, other), each in relations.items() if not each.blocked_by}
    rest = [other for other, each in open_to.items() if not each.friends]
    groups = groups_of([uid, *rest]) if rest else {}
    return [other for other, each in open_to.items() if each.friends or groups[other] & groups[uid]]


def _seen(uids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Presences as others see them."""
    connected, chosen = told.look(uids), choices(uids)
    return {
        uid: shown(uid, choice.shown if uid in connected else "offline", choice)
        for uid, choice in chosen.items()
    }


def _own(uid: str, connected: bool, choice: Choice) -> dict[str, Any]:
    return shown(uid, choice.status if connected else "offline", choice)


def _group(call: Call[Watch]) -> str:
    place = parsed(call.params.conv)
    if place.kind != "g":
        raise invalid_params(["conv"], "only a group can be watched")
    if call.caller.session is None:
        raise CallError(Reason.INVALID_REQUEST, "only a session can watch")
    return place.ids[0]


def _until_live(uid: str, channel: str) -> None:
    """Waits, not for ever, until what is told in the channel reaches the person's node."""
    names = [keys.channel(channels.user(uid)), keys.channel(channel)]
    for pause in _PAUSES:
        if redis_client().sinter(names):
            return
        time.sleep(pause)


def _tell_present(call: Call[Watch], members: Sequence[str]) -> None:
    """Tells the session who is there; and again of those who changed while that was published, for
    their own news may have come first."""
    people = _visible(call.uid, members)
    before: dict[str, dict[str, Any]] = {}
    for _ in range(_ROUNDS):
        seen = _seen(people)
        news = [
            each
            for uid, each in seen.items()
            if each != before.get(uid) and (uid in before or each["status"] != "offline")
        ]
        if not news:
            return
        to = (channels.user(call.uid),)
        frames = [rpc.notification("presence", each) for each in news]
        call.publish([Delivery(to, frame, only_session=call.caller.session) for frame in frames])
        before = seen


start = presence.start
handle = presence.handle
ready = presence.ready
