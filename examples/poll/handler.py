"""Polls: a question put to a conversation, and one vote of each person in it.

The poll is an entry, so it comes to every device in its place among the messages. The votes are
not: they are counted in a collection, and who is online is told of each new tally by a signal.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from shared import channels, membership, policy, rpc
from shared.bus import Delivery
from shared.call import Call
from shared.entry import shown
from shared.errors import CallError, Reason, invalid_params
from shared.function import Function
from shared.log import log
from shared.members import Standing
from shared.params import Cid, Conv, Params
from shared.secretfiles import CONTENT_KEYS

from .results import Created, OwnTally
from .votes import votes

poll = Function("poll", secrets=[CONTENT_KEYS])

POLL = "poll"  # the type of the entry
TALLY = "poll.tally"  # the signal

Seq = Annotated[int, Field(ge=1, le=2**53)]
Option = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Create(Params):
    conv: Conv
    cid: Cid
    question: Question
    options: list[Option] = Field(min_length=2, max_length=10)

    @field_validator("options")
    @classmethod
    def _different(cls, options: list[str]) -> list[str]:
        if len(set(options)) < len(options):
            raise ValueError("options differ from each other")
        return options


class Vote(Params):
    conv: Conv
    seq: Seq
    option: int = Field(ge=0)
    cid: Cid


class Get(Params):
    conv: Conv
    seq: Seq


@poll.method("poll.create", result=Created)
def create(call: Call[Create]) -> dict[str, Any]:
    """Puts a question to a conversation, as an entry of the type `poll` whose body is `{question,
    options}`. Refuses as `message.send` does where the caller may not write."""
    params = call.params
    policy.writer(call.uid, membership.parsed(params.conv))
    body = {"question": params.question, "options": params.options}
    return call.append(params.conv, POLL, body).as_result()


@poll.method("poll.vote", result=OwnTally)
def vote(call: Call[Vote]) -> dict[str, Any]:
    """Chooses the option of this index (from 0), instead of the one chosen before. Who is
    online in the conversation gets a `poll.tally` signal. Refuses with `not_found` where there is
    no such poll, and as `message.send` does where the caller may not write."""
    params = call.params
    place = membership.parsed(params.conv)
    options = _options(params, policy.writer(call.uid, place))
    if params.option >= len(options):
        raise invalid_params(["option"], f"there are {len(options)} options", "less_than")
    votes().cast(_key(params), call.uid, params.option, params.cid)
    tally = _tally(params, options)
    frame = rpc.notification(TALLY, tally)
    call.publish([Delivery(channels.listeners(place), frame, skip_session=call.caller.session)])
    return tally | {"choice": params.option}


@poll.method("poll.get", result=OwnTally)
def get(call: Call[Get]) -> dict[str, Any]:
    """The tally now, and one's own choice. Refuses with `not_a_member`, and with `not_found` where
    there is no such poll."""
    params = call.params
    options = _options(params, membership.require_reader(call.uid, params.conv))
    choice = votes().choice(_key(params), call.uid)
    return _tally(params, options) | ({} if choice is None else {"choice": choice})


def _options(params: Vote | Get, standing: Standing) -> list[str]:
    """The options of a poll, where somebody of this standing may see it. Raises `not_found`."""
    visible = standing.first <= params.seq and params.seq <= (standing.last or params.seq)
    found = log().storage.between(params.conv, params.seq, params.seq) if visible else []
    if not found or found[0]["type"] != POLL:
        raise CallError(Reason.NOT_FOUND)
    options: list[str] = shown(found[0], None, log().content)["body"]["options"]
    return options


def _tally(params: Vote | Get, options: list[str]) -> dict[str, Any]:
    found = votes().tally(_key(params), options)
    return {"conv": params.conv, "seq": params.seq, "votes": [*found.votes], "rev": found.rev}


def _key(params: Vote | Get) -> str:
    return f"{params.conv} {params.seq}"


start = poll.start
handle = poll.handle
ready = poll.ready
