"""Reading: histories, lists of conversations, and how far a person has read."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NotRequired

from pydantic import Field, model_validator, with_config
from typing_extensions import TypedDict

from shared import channels, conversation, keys, membership, policy, rpc
from shared.bus import Delivery, bus
from shared.call import Call
from shared.conversation import Conversation
from shared.entry import shown
from shared.errors import CallError, Reason, invalid_params
from shared.friendships import friendships
from shared.function import Function
from shared.history import Bounds, History, Wanted
from shared.log import log
from shared.members import Standing
from shared.params import Conv, Params, Seq
from shared.settings import settings
from shared.shapes import EXACT, ConversationState, Empty, Entry
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


@with_config(EXACT)
class PageOfEntries(TypedDict):
    entries: list[Entry]
    last_seq: int
    more: bool


@with_config(EXACT)
class Listed(TypedDict):
    """A conversation in a person's list. `changed_at` is ms; who left a group gets no `last_entry`
    of it."""

    conv: str
    last_seq: int
    last_entry: NotRequired[Entry]
    read_seq: int
    unread: int
    pinned: bool
    muted: bool
    changed_at: int


@with_config(EXACT)
class Conversations(TypedDict):
    conversations: list[Listed]
    now: int


@sync.batch("message.history", result=PageOfEntries, reads=True)
def read_history(calls: Sequence[Call[ReadHistory]]) -> list[Any]:
    """`entries`, ascending and without a hole: those that follow `after`, those that precede
    `before`, or the last ones; `last_seq` of the conversation; `more`, whether it goes on in that
    direction. A short answer with `more` stopped before an entry that may still appear. Of a group
    there is what the caller may see: from joining on, or all, and until leaving. Refuses with
    `not_a_member`."""
    answers: list[Any] = [None] * len(calls)
    limit = settings().history_limit
    places: dict[int, Conversation] = {}
    for index, call in enumerate(calls):
        try:
            places[index] = membership.parsed(call.params.conv)
            if call.params.limit > limit:
                raise invalid_params(["limit"], f"at most {limit}", "less_than_equal")
        except CallError as refusal:
            answers[index] = refusal
    known = membership.standings((calls[index].uid, place) for index, place in places.items())
    wanted: dict[int, Wanted] = {}
    for index, place in places.items():
        params, standing = calls[index].params, known[calls[index].uid, place]
        view = Bounds(standing.first, standing.last)
        if not standing.may_read:
            answers[index] = CallError(Reason.NOT_A_MEMBER)
        elif answers[index] is None:
            wanted[index] = Wanted(params.conv, params.limit, view, params.after, params.before)
    for index, page in zip(wanted, history().read(list(wanted.values())), strict=True):
        uid, first = calls[index].uid, wanted[index].view.first
        answers[index] = {
            "entries": [shown(each, uid, log().content, first) for each in page.entries],
            "last_seq": page.last_seq,
            "more": page.more,
        }
    return answers


@sync.batch("conversation.list", result=Conversations, reads=True)
def list_conversations(calls: Sequence[Call[ListConversations]]) -> list[Any]:
    """The caller's `conversations`, the last changed first; with `changed_since` those that changed
    at that time or later. `now` is what to pass next time: no change between is missed."""
    now, known = states().of(list(dict.fromkeys(call.uid for call in calls)))
    wanted = {uid: [*mine, conversation.inbox(uid)] for uid, mine in known.items()}
    tails = log().tails.read(list(dict.fromkeys(itertools.chain.from_iterable(wanted.values()))))
    return [
        {
            "conversations": _changed(
                {conv: tails[conv] for conv in wanted[call.uid]},
                known[call.uid],
                call.params.changed_since or 0,
            ),
            "now": now,
        }
        for call in calls
    ]


def _changed(
    tails: Mapping[str, Tail], known: Mapping[str, State], since: int
) -> list[dict[str, Any]]:
    listed = []
    for conv, tail in tails.items():
        state = known.get(conv, NOTHING)
        tail = _seen(tail, state)
        changed = max(tail.changed, state.changed)
        if tail.seq and changed >= since and not _is_hidden(state, tail):
            listed.append(_listed(conv, tail, state, changed))
    listed.sort(key=lambda each: -int(each["changed_at"]))
    return listed


@sync.method("conversation.update", result=ConversationState)
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


@sync.method("conversation.typing", result=Empty)
def tell_typing(call: Call[Typing]) -> dict[str, Any]:
    """Tells the others that the caller is writing. At most one signal a second passes."""
    place, uid = membership.parsed(call.params.conv), call.uid
    policy.writer(uid, place)
    key = keys.typing(call.params.conv, uid)
    if redis_client().set(key, 1, nx=True, px=TYPING_PAUSE):
        frame = rpc.notification("typing", {"conv": call.params.conv, "uid": uid})
        others = tuple(name for name in channels.listeners(place) if name != channels.user(uid))
        call.publish([Delivery(others, frame, skip_users=(uid,))])
    return {}


@sync.batch("conversation.read", result=Empty)
def read_conversations(calls: Sequence[Call[Read]]) -> list[Any]:
    """Everything up to `seq` was read; a lower mark than before changes nothing. The caller's other
    devices, and the other person of a direct conversation, get a `read` signal. Refuses with
    `not_a_member`, and `invalid_params` beyond the last entry."""
    answers: list[Any] = [{} for _ in calls]
    last = log().tails.read(list({call.params.conv for call in calls}))
    places = [membership.parsed(call.params.conv) for call in calls]
    known = membership.standings(
        (call.uid, place) for call, place in zip(calls, places, strict=True)
    )
    quiet = _blocked(zip(calls, places, strict=True))
    signals: list[Delivery] = []
    marks: list[tuple[str, str, int]] = []
    for index, (call, place) in enumerate(zip(calls, places, strict=True)):
        standing, conv, seq = known[call.uid, place], call.params.conv, call.params.seq
        if not standing.may_read:
            answers[index] = CallError(Reason.NOT_A_MEMBER)
        elif seq > (last[conv].seq if standing.last is None else standing.last):
            answers[index] = invalid_params(["seq"], "beyond the last entry", "less_than_equal")
        else:
            marks.append((call.uid, conv, seq))
            signals.append(_read_signal(call, place, standing, quiet=index in quiet))
    if marks:
        states().read(marks)
        bus().publish(signals)
    return answers


def _is_hidden(state: State, tail: Tail) -> bool:
    return state.hidden_at >= tail.seq


def _listed(conv: str, tail: Tail, state: State, changed: int) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "conv": conv,
        "last_seq": tail.seq,
        "read_seq": state.read_seq,
        "unread": tail.seq - state.read_seq,
        "pinned": state.pinned,
        "muted": state.muted,
        "changed_at": changed,
    }
    entry = log().tails.entry(conv, tail)
    if entry is not None:
        listed["last_entry"] = entry
    return listed


def _blocked(asked: Iterable[tuple[Call[Read], Conversation]]) -> set[int]:
    """The indexes of direct conversations in which one of the two blocked the other."""
    pairs = {
        index: (call.uid, place.other(call.uid))
        for index, (call, place) in enumerate(asked)
        if place.kind == "d" and call.uid in place.ids
    }
    known = friendships().relations(list(dict.fromkeys(pairs.values())))
    return {index for index, pair in pairs.items() if known[pair].blocked or known[pair].blocked_by}


def _read_signal(
    call: Call[Read], place: Conversation, standing: Standing, *, quiet: bool
) -> Delivery:
    """For the other person, or the group where it wants receipts, and for one's own devices."""
    params, own = call.params, channels.user(call.uid)
    tells = not quiet and (place.kind == "d" or standing.receipts)
    told = channels.listeners(place) if tells else ()
    frame = rpc.notification("read", {"conv": params.conv, "uid": call.uid, "seq": params.seq})
    return Delivery(tuple(dict.fromkeys((own, *told))), frame, skip_session=call.caller.session)


def _seen(tail: Tail, state: State) -> Tail:
    """The tail as a person sees it who may have left the group."""
    if state.until < 0 or tail.seq <= state.until:
        return tail
    return Tail(state.until, state.changed)


@cache
def history() -> History:
    return History(log(), settings().hole_age)


handle = sync.handle
ready = sync.ready
