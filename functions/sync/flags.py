"""How a person keeps a conversation: pinned, muted, hidden."""

from typing import Any

from shared import channels, membership, rpc
from shared.bus import Delivery
from shared.call import Call
from shared.log import log
from shared.states import states

from .lists import is_hidden
from .params import Update


def update(call: Call[Update]) -> dict[str, Any]:
    """The answer to `conversation.update`. Who left a group may still hide it."""
    params, uid = call.params, call.uid
    membership.require_reader(uid, params.conv)
    tail = log().tails.numbers([params.conv])[params.conv]
    change: dict[str, Any] = params.model_dump(exclude={"conv", "hidden"}, exclude_none=True)
    if params.hidden is not None:
        change["hidden_at"] = tail.seq if params.hidden else -1
    state = states().update(uid, params.conv, change)
    answer = {
        "conv": params.conv,
        "read_seq": state.read_seq,
        "pinned": state.pinned,
        "muted": state.muted,
        "hidden": is_hidden(state, tail),
    }
    frame = rpc.notification("conversation", answer)
    call.publish([Delivery((channels.user(uid),), frame, skip_session=call.caller.session)])
    return answer
