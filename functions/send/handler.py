"""Sending: what a person writes becomes an entry of the conversation."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from shared import bodies, conversation, people
from shared.call import Call
from shared.conversation import Conversation
from shared.entry import Draft
from shared.errors import CallError, Reason, invalid_params
from shared.function import Function
from shared.log import log
from shared.params import Cid, Conv, Id, Params, Seq
from shared.settings import settings
from shared.states import states

send = Function("send")


class Send(Params):
    conv: Conv | None = None
    to: Id | None = None
    cid: Cid
    type: str
    body: dict[str, Any]
    reply_to: Seq | None = Field(None, ge=1)
    mentions: list[Id] | None = None

    @model_validator(mode="after")
    def _one_address(self) -> "Send":
        if (self.conv is None) == (self.to is None):
            raise ValueError("give either conv or to")
        return self


@send.batch("message.send")
def send_messages(calls: Sequence[Call[Send]]) -> list[Any]:
    """Appends the messages. `conv`, `seq`, `id` and `ts` of each; a repeated `cid` in the same
    conversation gives the first ones. Refuses with `not_a_member`, `not_found` (nobody has that
    uid), `invalid_params` (a body that does not fit its type), `too_large`."""
    answers: list[Any] = [None] * len(calls)
    drafts: dict[int, tuple[Draft, Conversation]] = {}
    for index, call in enumerate(calls):
        try:
            drafts[index] = _draft(call)
        except CallError as refusal:
            answers[index] = refusal
    nobody = people.strangers(uid for _, place in drafts.values() for uid in place.ids)
    for index, (_, place) in list(drafts.items()):
        if nobody.intersection(place.ids):
            answers[index] = CallError(Reason.NOT_FOUND)
            del drafts[index]
    states().register((draft.conv, place) for draft, place in drafts.values())
    outcomes = log().append([draft for draft, _ in drafts.values()])
    for index, outcome in zip(drafts, outcomes, strict=True):
        answers[index] = outcome if isinstance(outcome, CallError) else outcome.as_result()
    return answers


def _draft(call: Call[Send]) -> tuple[Draft, Conversation]:
    params, config = call.params, settings()
    conv = params.conv or conversation.direct(call.uid, params.to or "")
    place = call.require_member(conv)
    if place.kind == "u":
        raise CallError(Reason.FORBIDDEN, "nobody writes into an inbox")
    if params.mentions and len(params.mentions) > config.mentions_limit:
        raise invalid_params(["mentions"], f"at most {config.mentions_limit}", "too_long")
    bodies.check(params.type, params.body, config.body_limit)
    draft = Draft(
        conv=conv,
        sender=call.uid,
        command=call.method,
        cid=params.cid,
        type=params.type,
        body=params.body,
        reply_to=params.reply_to,
        mentions=params.mentions,
        session=call.caller.session,
    )
    return draft, place


handle = send.handle
ready = send.ready
