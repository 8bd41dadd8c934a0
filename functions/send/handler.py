"""Sending: what a person writes becomes an entry of the conversation."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator, with_config
from typing_extensions import TypedDict

from shared import bodies, conversation, guarding, membership, policy
from shared.call import Call
from shared.conversation import Conversation
from shared.entry import Draft, shown
from shared.errors import CallError, Reason
from shared.function import Function
from shared.log import log
from shared.params import Cid, Conv, Id, Params, Seq, at_most
from shared.settings import settings
from shared.shapes import EXACT
from shared.states import states

from . import life

send = Function("send")

EVERYONE = "@all"
RESULT = ("conv", "seq", "id", "ts")


class Source(Params):
    conv: Conv
    seq: int = Field(ge=1, le=2**53)


class Send(Params):
    conv: Conv | None = None
    to: Id | None = None
    cid: Cid
    type: str | None = None
    body: dict[str, Any] | None = None
    forward: Source | None = None
    reply_to: Seq | None = Field(None, ge=1)
    mentions: Annotated[list[Id | Literal["@all"]], at_most("mentions_limit")] | None = None

    @model_validator(mode="after")
    def _one_address(self) -> "Send":
        if (self.conv is None) == (self.to is None):
            raise ValueError("give either conv or to")
        return self

    @model_validator(mode="after")
    def _one_content(self) -> "Send":
        given = self.type is not None and self.body is not None
        if given == (self.forward is not None) or (self.type is None) != (self.body is None):
            raise ValueError("give either type and body, or forward")
        return self


@with_config(EXACT)
class Sent(TypedDict):
    """The place of a message."""

    conv: str
    seq: int
    id: str
    ts: int


@send.batch("message.send", result=Sent)
def send_messages(calls: Sequence[Call[Send]]) -> list[Any]:
    """Appends the messages. `conv`, `seq`, `id` and `ts` of each; a repeated `cid` in the same
    conversation gives the first ones. Refuses with `not_a_member`, `muted`, `blocked`,
    `forbidden` (a mention of everyone by who is no admin), `not_found` (nobody has that uid),
    `invalid_params` (a body that does not fit its type), `too_large`."""
    drafted = guarding.each(calls, _draft, "message.send")
    drafts = {i: each for i, each in enumerate(drafted) if not isinstance(each, CallError)}
    answers: list[Any] = list(drafted)
    refused = _refused(drafts)
    stored = log().storage.by_key([drafts[index][0].key for index in refused]) if refused else {}
    for index, why in refused.items():
        draft, _ = drafts.pop(index)
        # Who may not write any more may still ask again for what was written.
        first = stored.get(draft.key)
        answers[index] = why if first is None else {name: first[name] for name in RESULT}
    states().register((draft.conv, place) for draft, place in drafts.values())
    outcomes = log().append([draft for draft, _ in drafts.values()])
    for index, outcome in zip(drafts, outcomes, strict=True):
        answers[index] = outcome if isinstance(outcome, CallError) else outcome.as_result()
    return answers


def _draft(call: Call[Send]) -> tuple[Draft, Conversation]:
    params, config = call.params, settings()
    conv = params.conv or conversation.direct(call.uid, params.to or "")
    place = membership.parsed(conv)
    type_, body, forwarded = params.type or "", params.body or {}, None
    if params.forward is not None:
        type_, body, forwarded = _passed_on(call, params.forward)
    bodies.check(type_, body, config.body_limit)
    draft = Draft(
        conv=conv,
        sender=call.uid,
        command=call.method,
        cid=params.cid,
        type=type_,
        body=body,
        forwarded=forwarded,
        reply_to=params.reply_to,
        mentions=params.mentions,
        session=call.caller.session,
    )
    return draft, place


def _refused(drafts: Mapping[int, tuple[Draft, Conversation]]) -> dict[int, CallError]:
    """Those that may not be written, and why."""
    standings = policy.writers([(draft.sender, place) for draft, place in drafts.values()])
    refused = {}
    for (index, (draft, _)), standing in zip(drafts.items(), standings, strict=True):
        if isinstance(standing, CallError):
            refused[index] = standing
        elif EVERYONE in (draft.mentions or ()) and standing.role not in ("admin", "owner"):
            refused[index] = CallError(Reason.FORBIDDEN, "only admins mention everyone")
    return refused


def _passed_on(call: Call[Send], source: Source) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Type, body and origin of a message that is passed on. The origin is the server's word: who
    first wrote it, and when, however often it was passed on since."""
    message = life.message(call, source.conv, source.seq)
    if "recalled" in message:
        raise CallError(Reason.CONFLICT, "the message was recalled")
    found = shown(message, None, log().content)
    if "body" not in found:
        raise CallError(Reason.CONFLICT, "the message cannot be read")
    first = {"sender": found["sender"], "ts": found["ts"]}
    return found["type"], found["body"], found.get("forwarded", first)


send.method("message.edit", result=life.Appended)(life.edit)
send.method("message.recall", result=life.Appended)(life.recall)
send.method("message.react", result=life.Appended)(life.react)

handle = send.handle
ready = send.ready
