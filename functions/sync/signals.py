"""What is told and not kept: that somebody is writing."""

from typing import Any

from shared import channels, keys, membership, policy, rpc
from shared.bus import Delivery
from shared.call import Call
from shared.settings import settings
from shared.stores import redis_client

from .params import Typing

_PAUSE = 1000  # ms


def tell_typing(call: Call[Typing]) -> dict[str, Any]:
    """The answer to `conversation.typing`. Nothing is written before it is known that the caller
    may write there."""
    conv, uid = call.params.conv, call.uid
    place = membership.parsed(conv)
    standing = policy.writer(uid, place)
    if standing.size > settings().typing_members_limit:
        return {}
    if redis_client().set(keys.typing(conv, uid), 1, nx=True, px=_PAUSE):
        frame = rpc.notification("typing", {"conv": conv, "uid": uid})
        others = tuple(name for name in channels.listeners(place) if name != channels.user(uid))
        call.publish([Delivery(others, frame, skip_users=(uid,))])
    return {}
