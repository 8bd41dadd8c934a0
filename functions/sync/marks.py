"""How far people have read."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared import channels, guarding, membership, rpc
from shared.bus import Delivery, bus
from shared.call import Call
from shared.conversation import Conversation
from shared.errors import CallError, Reason, invalid_params
from shared.friendships import Pair, Relation, friendships
from shared.generations import Generation, generations
from shared.log import log
from shared.members import Standing
from shared.states import Mark, states
from shared.stores import redis_client
from shared.tails import Tail

from .params import Read

_METHOD = "conversation.read"


class _Reading(NamedTuple):
    """A call, and where its caller stands."""

    call: Call[Read]
    place: Conversation
    standing: Standing

    @property
    def pair(self) -> Pair:
        """The two of a direct conversation, the caller first."""
        return self.call.uid, self.place.other(self.call.uid)


def read(calls: Sequence[Call[Read]]) -> list[Any]:
    """The answers to `conversation.read`."""
    places = [membership.parsed(call.params.conv) for call in calls]
    known = membership.standings(
        (call.uid, place) for call, place in zip(calls, places, strict=True)
    )
    asked = [
        _Reading(call, place, known[call.uid, place])
        for call, place in zip(calls, places, strict=True)
    ]
    readers = {each.call.params.conv for each in asked if each.standing.may_read}
    last = log().tails.numbers(list(readers))
    found = guarding.each(asked, lambda each: _required(each, last), _METHOD)
    _keep([each for each in found if not isinstance(each, CallError)])
    return [each if isinstance(each, CallError) else {} for each in found]


def _required(reading: _Reading, last: Mapping[str, Tail]) -> _Reading:
    """The reading, of what is there. Raises the refusal."""
    params, standing = reading.call.params, reading.standing
    if not standing.may_read:
        raise CallError(Reason.NOT_A_MEMBER)
    if params.seq > (last[params.conv].seq if standing.last is None else standing.last):
        raise invalid_params(["seq"], "beyond the last entry", "less_than_equal")
    return reading


def _keep(readings: Sequence[_Reading]) -> None:
    """Stores the marks, and tells of those that moved."""
    if not readings:
        return
    relations, known = generations().within(lambda now: _facts(now, readings))
    told = [_is_told(each, relations) for each in readings]
    marks = [_mark(each, tells=tells) for each, tells in zip(readings, told, strict=True)]
    moved = states().read(marks, known)
    bus().publish(
        [
            _signal(each, tells=tells)
            for each, tells, is_news in zip(readings, told, moved, strict=True)
            if is_news
        ]
    )


def _facts(now: Generation, readings: Sequence[_Reading]) -> tuple[dict[Pair, Relation], list[Any]]:
    """What two people are to each other, and what is known of the marks."""
    pairs = list(dict.fromkeys(each.pair for each in readings if each.place.kind == "d"))
    with redis_client().pipeline(transaction=False) as pipe:
        between = friendships().enqueue(now, pipe, pairs)
        states().enqueue(now, pipe, [(each.call.uid, each.call.params.conv) for each in readings])
        answers = now.execute(pipe)
    return friendships().found(now, pairs, answers[:between]), answers[between:]


def _is_told(reading: _Reading, relations: Mapping[Pair, Relation]) -> bool:
    """Whether others learn of it: not where one of two blocked the other, and in a group where it
    wants receipts."""
    if reading.place.kind == "d":
        relation = relations[reading.pair]
        return not (relation.blocked or relation.blocked_by)
    return reading.standing.receipts


def _mark(reading: _Reading, *, tells: bool) -> Mark:
    """The mark; in a direct conversation the other has it in their list too."""
    params, uid = reading.call.params, reading.call.uid
    is_shared = tells and reading.place.kind == "d" and reading.pair != (uid, uid)
    return Mark(uid, params.conv, params.seq, reading.pair[1] if is_shared else None)


def _signal(reading: _Reading, *, tells: bool) -> Delivery:
    """For the others, and for one's own devices."""
    call, own = reading.call, channels.user(reading.call.uid)
    others = channels.listeners(reading.place) if tells else ()
    mark = {"conv": call.params.conv, "uid": call.uid, "seq": call.params.seq}
    return Delivery(
        tuple(dict.fromkeys((own, *others))),
        rpc.notification("read", mark),
        skip_session=call.caller.session,
    )
