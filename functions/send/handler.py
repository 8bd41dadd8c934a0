"""Sending: what a person writes becomes an entry of the conversation."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared import bodies, conversation, guarding, membership, policy
from shared.call import Call
from shared.conversation import Conversation
from shared.entry import Draft, shown
from shared.errors import CallError, Reason
from shared.function import Function
from shared.log import log
from shared.secretfiles import CONTENT_KEYS
from shared.settings import settings
from shared.states import states

from . import life, reactions, strangers, targets
from .params import Edit, React, Recall, Send, Source
from .results import Appended, Sent

send = Function("send", secrets=[CONTENT_KEYS])

EVERYONE = "@all"
RESULT = ("conv", "seq", "id", "ts")


@send.batch("message.send", result=Sent)
def send_messages(calls: Sequence[Call[Send]]) -> list[Any]:
    """Appends the messages. `conv`, `seq`, `id` and `ts` of each; a repeated `cid` in the same
    conversation gives the first ones. Refuses with `not_a_member`, `muted`, `blocked`,
    `forbidden` (a mention of everyone by who is no admin), `not_found` (nobody has that uid, or
    there is no such message to pass on), `conflict` (that one was recalled), `rate_limited` (too
    many first messages to strangers of late), `invalid_params` (a body that does not fit its
    type), `too_large`."""
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
    crowded = strangers.refused(
        [(draft.sender, draft.conv, place) for draft, place in drafts.values()]
    )
    for index in [
        each for each, (draft, _) in drafts.items() if (draft.sender, draft.conv) in crowded
    ]:
        draft, _ = drafts.pop(index)
        answers[index] = crowded[draft.sender, draft.conv]
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
    standing = membership.standing(call.uid, call.require_member(source.conv))
    message = targets.message(source.conv, source.seq)
    if message is None or not targets.sees(standing, source.seq):
        raise CallError(Reason.NOT_FOUND)
    targets.require_present(message)
    found = shown(message, None, log().content)
    if "body" not in found:
        raise CallError(Reason.CONFLICT, "the message cannot be read")
    first = {"sender": found["sender"], "ts": found["ts"]}
    return found["type"], found["body"], found.get("forwarded", first)


@send.method("message.edit", result=Appended)
def edit(call: Call[Edit]) -> dict[str, Any]:
    """Gives one's message another body of the same type. `seq` and `ts` of the entry. Refuses with
    `not_found` where the caller sees no such message, `forbidden` for another's and for what was
    passed on, `conflict` where it was recalled, `invalid_params` where the body does not fit, and
    as `message.send` does."""
    return life.edit(call)


@send.method("message.recall", result=Appended)
def recall(call: Call[Recall]) -> dict[str, Any]:
    """Takes a message back: its body, and those of its edits, are gone from the record. One's own
    for a while, also after leaving; a group's admins also what others wrote, whatever its age.
    Refuses with `not_a_member`, `not_found`, `forbidden` for another's message or when the time
    for it is over, `conflict` where it was recalled before."""
    return life.recall(call)


@send.batch("message.react", result=Appended)
def react(calls: Sequence[Call[React]]) -> list[Any]:
    """Adds a reaction to a message, or takes it away with `remove`: one emoji, or the `:name:` of
    one of the house. The same again, and taking away what is not there, makes no entry: `seq` and
    `ts` are of the one that stands, or of the message. Refuses with `not_found` where the caller
    sees no such message, `conflict` where it was recalled, and as `message.send` does."""
    return reactions.react(calls)


start = send.start
handle = send.handle
ready = send.ready
