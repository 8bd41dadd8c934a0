"""Reading: histories, lists of conversations, and how far a person has read."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import Field, model_validator

from shared import channels, conversation, keys, rpc
from shared.bus import Delivery, bus
from shared.call import Call
from shared.entry import shown
from shared.errors import CallError, invalid_params
from shared.function import Function
from shared.history import History
from shared.log import log
from shared.params import Conv, Params, Seq
from shared.settings import settings
from shared.states import State, states
from shared.stores import redis_client
from shared.tails import Tail

sync = Function("sync")

TYPING_PAUSE = 1000  # ms
NOTHING = State()


class ReadHistory(Params):
    conv: Conv
    after: Seq | None = None
    before: Seq | None = None
    limit: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _one_direction(self) -> "ReadHistory":
        if self.after is not None and self.before is not None:
            raise ValueError("give either after or before")
        return self


class ListConversations(Params):
    changed_since: int | None = Field(None, ge=0)


class Read(Params):
    conv: Conv
    seq: Seq


class Update(Params):
    conv: Conv
    pinned: bool | None = None
    muted: bool | None = None
    hidden: bool | None = None


class Typing(Params):
    conv: Conv


@sync.method("message.history")
def read_history(call: Call[ReadHistory]) -> dict[str, Any]:
    """`entries`, ascending and without a hole: those that follow `after`, those that precede
    `before`, or the last ones; `last_seq` of the conversation; `more`, whether it goes on in that
    direction. A short answer with `more` stopped before an entry that may still appear. Refuses
    with `not_a_member`."""
    params, config = call.params, settings()
    call.require_member(params.conv)
    if params.limit > config.history_limit:
        raise invalid_params(["limit"], f"at most {config.history_limit}", "less_than_equal")
    if params.after is not None:
        page = history().after(params.conv, params.after, params.limit)
    elif params.before is not None:
        page = history().before(params.conv, params.before, params.limit)
    else:
        page = history().latest(params.conv, params.limit)
    return {
        "entries": [shown(each, call.uid, log().content) for each in page.entries],
        "last_seq": page.last_seq,
        "more": page.more,
    }


@sync.method("conversation.list")
def list_conversations(call: Call[ListConversations]) -> dict[str, Any]:
    """The caller's `conversations`, the last changed first; with `changed_since` those that changed
    at that time or later. `now` is what to pass next time: no change between is missed."""
    uid, since = call.uid, call.params.changed_since or 0
    now, known = states().of(uid)
    listed = []
    for conv, tail in log().tails.read([*known, conversation.inbox(uid)]).items():
        state = known.get(conv, NOTHING)
        changed = max(tail.changed, state.changed)
        if tail.seq and changed >= since and not _is_hidden(state, tail):
            listed.append(_listed(conv, tail, state, changed))
    listed.sort(key=lambda each: -int(each["changed_at"]))
    return {"conversations": listed, "now": now}


@sync.method("conversation.update")
def update_conversation(call: Call[Update]) -> dict[str, Any]:
    """Pins, mutes or hides a conversation for the caller, and returns its state. A hidden one is
    not listed until it has another entry. The caller's other devices get a `conversation`
    signal with the state. Refuses with `not_a_member`."""
    params, uid = call.params, call.uid
    call.require_member(params.conv)
    tail = log().tails.read([params.conv])[params.conv]
    change: dict[str, Any] = params.model_dump(exclude={"conv", "hidden"}, exclude_none=True)
    if params.hidden is not None:
        change["hidden_at"] = tail.seq if params.hidden else -1
    state = states().update(uid, params.conv, change)
    answer = {
        "conv": params.conv,
        "read_seq": state.read_seq,
        "pinned": state.pinned,
        "muted": state.muted,
        "hidden": _is_hidden(state, tail),
    }
    frame = rpc.notification("conversation", answer)
    call.publish([Delivery((channels.user(uid),), frame, skip_session=call.caller.session)])
    return answer


@sync.method("conversation.typing")
def tell_typing(call: Call[Typing]) -> dict[str, Any]:
    """Tells the others that the caller is writing. At most one signal a second passes."""
    place, uid = call.require_member(call.params.conv), call.uid
    key = keys.typing(call.params.conv, uid)
    if redis_client().set(key, 1, nx=True, px=TYPING_PAUSE):
        frame = rpc.notification("typing", {"conv": call.params.conv, "uid": uid})
        others = tuple(name for name in channels.listeners(place) if name != channels.user(uid))
        call.publish([Delivery(others, frame, skip_user=uid)])
    return {}


@sync.batch("conversation.read")
def read_conversations(calls: Sequence[Call[Read]]) -> list[Any]:
    """Everything up to `seq` was read; a lower mark than before changes nothing. The caller's other
    devices, and the other person of a direct conversation, get a `read` signal. Refuses with
    `not_a_member`, and `invalid_params` beyond the last entry."""
    answers: list[Any] = [{} for _ in calls]
    last = log().tails.read(list({call.params.conv for call in calls}))
    accepted: list[Call[Read]] = []
    for index, call in enumerate(calls):
        try:
            call.require_member(call.params.conv)
            if call.params.seq > last[call.params.conv].seq:
                raise invalid_params(["seq"], "beyond the last entry", "less_than_equal")
            accepted.append(call)
        except CallError as refusal:
            answers[index] = refusal
    if accepted:
        states().read([(call.uid, call.params.conv, call.params.seq) for call in accepted])
        bus().publish([_read_signal(call) for call in accepted])
    return answers


def _is_hidden(state: State, tail: Tail) -> bool:
    return state.hidden_at >= tail.seq


def _listed(conv: str, tail: Tail, state: State, changed: int) -> dict[str, Any]:
    return {
        "conv": conv,
        "last_seq": tail.seq,
        "last_entry": log().tails.entry(conv, tail),
        "read_seq": state.read_seq,
        "unread": tail.seq - state.read_seq,
        "pinned": state.pinned,
        "muted": state.muted,
        "changed_at": changed,
    }


def _read_signal(call: Call[Read]) -> Delivery:
    params, uid = call.params, call.uid
    place = conversation.parse(params.conv)
    told = place.ids if place is not None and place.kind == "d" else (uid,)
    frame = rpc.notification("read", {"conv": params.conv, "uid": uid, "seq": params.seq})
    to = tuple(dict.fromkeys(channels.user(each) for each in told))
    return Delivery(to, frame, skip_session=call.caller.session)


@cache
def history() -> History:
    return History(log(), settings().hole_age)


handle = sync.handle
ready = sync.ready
