"""What becomes of a message: edited, recalled, reacted to.

Each is an entry of its own, so that devices that were away learn of it in order; and the message
itself is changed in the record, so that whoever reads it later gets its present state. The entry
comes first: a repeated command finds it and carries out what is missing.
"""

import time
from typing import Any

import orjson
from pydantic import Field, with_config
from typing_extensions import TypedDict

from shared import bodies, membership, policy
from shared.call import Call
from shared.clock import LEEWAY
from shared.collections import Document
from shared.errors import CallError, Reason
from shared.log import log
from shared.params import Cid, Conv, Params
from shared.settings import settings
from shared.shapes import EXACT

Ref = Field(ge=1, le=2**53)


class Edit(Params):
    conv: Conv
    ref: int = Ref
    cid: Cid
    body: dict[str, Any]


class Recall(Params):
    conv: Conv
    ref: int = Ref
    cid: Cid


class React(Params):
    conv: Conv
    ref: int = Ref
    cid: Cid
    emoji: str = Field(min_length=1, max_length=32)
    remove: bool = False


@with_config(EXACT)
class Appended(TypedDict):
    """The entry that a change of a message became."""

    seq: int
    ts: int


def edit(call: Call[Edit]) -> dict[str, Any]:
    """Gives one's message another body of the same type. Refuses with `forbidden` for another's,
    `conflict` where it was recalled, `invalid_params` where the body does not fit."""
    params = call.params
    target = message(call, params.conv, params.ref, writes=True)
    if target["sender"] != call.uid:
        raise CallError(Reason.FORBIDDEN, "somebody else's message")
    bodies.check(target["type"], params.body, settings().body_limit)
    _require_present(call, target)
    entry = call.append(params.conv, "edit", params.body, ref=params.ref)
    text = orjson.dumps(params.body)
    log().storage.edit(
        params.conv,
        params.ref,
        entry.seq,
        entry.ts,
        lambda key: log().content.seal(params.conv, key, text),
    )
    return {"seq": entry.seq, "ts": entry.ts}


def recall(call: Call[Recall]) -> dict[str, Any]:
    """Takes a message back: its body, and those of its edits, are gone from the record. One's own
    for a while, in a group also what others wrote, for its admins. Refuses with `forbidden` for
    another's message or when the time for it is over, `conflict` where it was recalled before."""
    params = call.params
    target = message(call, params.conv, params.ref)
    if not _rules(call, target):
        _require_recallable(call, target)
    _require_present(call, target)
    entry = call.append(params.conv, "recall", {}, ref=params.ref)
    log().storage.recall(params.conv, params.ref, entry.ts)
    return {"seq": entry.seq, "ts": entry.ts}


def react(call: Call[React]) -> dict[str, Any]:
    """Adds a reaction to a message, or takes it away with `remove`. Refuses with `conflict` where
    the message was recalled."""
    params = call.params
    _require_present(call, message(call, params.conv, params.ref, writes=True))
    body = {"emoji": params.emoji} | ({"remove": True} if params.remove else {})
    entry = call.append(params.conv, "reaction", body, ref=params.ref)
    return {"seq": entry.seq, "ts": entry.ts}


def message(call: Call[Any], conv: str, seq: int, *, writes: bool = False) -> Document:
    """The message that a command is about, which the caller may see. Raises `not_a_member` and
    `not_found`, and where something new is written by it, what `policy.writer` raises."""
    place = call.require_member(conv)
    standing = policy.writer(call.uid, place) if writes else membership.standing(call.uid, place)
    found = log().storage.between(conv, seq, seq)
    if seq < standing.first or not found or found[0]["type"] not in bodies.TYPES:
        raise CallError(Reason.NOT_FOUND)
    return found[0]


def _rules(call: Call[Any], message: Document) -> bool:
    """Whether the caller is an admin where the message is."""
    place = membership.parsed(message["conv"])
    return membership.standing(call.uid, place).role in ("admin", "owner")


def _require_recallable(call: Call[Any], message: Document) -> None:
    if message["sender"] != call.uid:
        raise CallError(Reason.FORBIDDEN, "somebody else's message")
    window = settings().recall_window
    if window and time.time() * 1000 - message["ts"] > (window + LEEWAY) * 1000:
        raise CallError(Reason.FORBIDDEN, "too late to recall")


def _require_present(call: Call[Any], message: Document) -> None:
    """Raises `conflict` for a recalled message, unless it is this very command that recalled it or
    came before, and is being repeated."""
    if "recalled" not in message:
        return
    key = f"{message['conv']} {call.uid} {call.method} {call.cid}"
    if not log().storage.by_key([key]):
        raise CallError(Reason.CONFLICT, "the message was recalled")
