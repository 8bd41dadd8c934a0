"""Reactions: of each person, each emoji stands on a message once, or not at all.

A reaction is an entry, one more that takes it back, and so on. The entries of one person about one
message have numbers of their own, from 1, and each of these is a slot of the log, which is stored
once: of two at the same time one comes second, finds the first, and decides again.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from shared import bodies, membership, policy
from shared.call import Call
from shared.collections import Document
from shared.commands import expiring
from shared.conversation import Conversation
from shared.entry import Draft, shown
from shared.errors import CallError, Reason
from shared.log import log
from shared.members import Standing

from . import targets
from .params import React

_ROUNDS = 64

Place = tuple[str, int, str]  # conversation, message, person


class Reaction(NamedTuple):
    """One of a person's entries about a message."""

    seq: int
    ts: int
    cid: str
    emoji: str
    remove: bool


class Asked(NamedTuple):
    """A call, and what was found out for it: where its caller may write, or why not, and the
    message."""

    call: Call[React]
    place: Conversation
    standing: Standing | CallError
    target: Document | None

    @property
    def where(self) -> Place:
        params = self.call.params
        return params.conv, params.ref, self.call.uid


def react(calls: Sequence[Call[React]]) -> list[Any]:
    known = expiring().results([call.key for call in calls])
    asked = _asked({index: call for index, call in enumerate(calls) if call.key not in known})
    reactions = _reactions(asked.values())
    answers: dict[int, Any] = {}
    waiting: dict[int, Asked] = {}
    firsts: dict[str, int] = {}
    for index, each in asked.items():
        if each.call.key in firsts:
            continue  # the same command again, which gets the same answer
        try:
            _settled(each, reactions.get(each.where, []))
        except CallError as refusal:
            answers[index] = refusal
        else:
            waiting[index] = each
            firsts[each.call.key] = index
    answers |= _answers(waiting, reactions)
    for key, index in firsts.items():
        known[key] = answers[index]
    done = {key: known[key] for key in firsts if isinstance(known[key], dict)}
    expiring().keep_first({key: orjson.dumps(each) for key, each in done.items()})
    return [answers[i] if i in answers else known[call.key] for i, call in enumerate(calls)]


def _asked(calls: Mapping[int, Call[React]]) -> dict[int, Asked]:
    """What is to be known of each call: a few questions for all, one for each conversation."""
    places = {index: membership.parsed(call.params.conv) for index, call in calls.items()}
    standings = policy.writers([(calls[index].uid, place) for index, place in places.items()])
    refs: dict[str, set[int]] = {}
    for call in calls.values():
        refs.setdefault(call.params.conv, set()).add(call.params.ref)
    stored = {conv: log().storage.numbered(conv, seqs) for conv, seqs in refs.items()}
    found = {}
    for (index, place), standing in zip(places.items(), standings, strict=True):
        params = calls[index].params
        target = stored[params.conv].get(params.ref)
        found[index] = Asked(calls[index], place, standing, target)
    return found


def _answers(
    waiting: dict[int, Asked], reactions: Mapping[Place, Sequence[Reaction]]
) -> dict[int, Any]:
    """What becomes of each call, of which those of one person about one message follow each other;
    `reactions` are those that were there a moment ago."""
    answers: dict[int, Any] = {}
    for _ in range(_ROUNDS):
        drafts: dict[int, tuple[Draft, dict[str, int] | None]] = {}
        taken: set[Place] = set()
        for index, asked in waiting.items():
            if asked.where in taken:
                continue
            try:
                answer, draft = _settled(asked, reactions.get(asked.where, []))
            except CallError as refusal:
                answers[index] = refusal
                continue
            if draft is None:
                answers[index] = answer
            else:
                drafts[index] = draft, answer
                taken.add(asked.where)
        _veil([(draft, waiting[index]) for index, (draft, _) in drafts.items()])
        outcomes = log().append([draft for draft, _ in drafts.values()])
        for (index, (_, answer)), outcome in zip(drafts.items(), outcomes, strict=True):
            if isinstance(outcome, CallError):
                answers[index] = outcome
            elif answer is not None or outcome.fresh:
                answers[index] = answer or {"seq": outcome.seq, "ts": outcome.ts}
        waiting = {index: asked for index, asked in waiting.items() if index not in answers}
        if not waiting:
            break
        reactions = _reactions(waiting.values())
    return answers | {index: CallError(Reason.UNAVAILABLE, retry_after=1) for index in waiting}


def _settled(
    asked: Asked, before: Sequence[Reaction]
) -> tuple[dict[str, int] | None, Draft | None]:
    """The answer, where it is known already; and the entry that is to be there, where one is.
    Raises the refusal."""
    params = asked.call.params
    for number, each in enumerate(before, 1):
        if each.cid == params.cid:
            # Stored before; where nobody was told of it, they are to fetch it.
            draft = _draft(asked.call, number)
            draft.late = None
            return _place(each), draft
    target = _required(asked)
    same = [each for each in before if each.emoji == params.emoji]
    if same and same[-1].remove == params.remove:
        return _place(same[-1]), None
    if params.remove and not same:
        return {"seq": target["seq"], "ts": target["ts"]}, None
    return None, _draft(asked.call, len(before) + 1)


def _required(asked: Asked) -> Document:
    """The message, which the caller may react to."""
    if isinstance(asked.standing, CallError):
        raise asked.standing
    target = asked.target
    if target is None or target["type"] not in bodies.TYPES:
        raise CallError(Reason.NOT_FOUND)
    if not targets.sees(asked.standing, target["seq"]):
        raise CallError(Reason.NOT_FOUND)
    targets.require_present(target)
    return target


def _place(reaction: Reaction) -> dict[str, int]:
    return {"seq": reaction.seq, "ts": reaction.ts}


def _draft(call: Call[React], number: int) -> Draft:
    params = call.params
    return Draft(
        conv=params.conv,
        sender=call.uid,
        command=call.method,
        cid=params.cid,
        type="reaction",
        body={"emoji": params.emoji} | ({"remove": True} if params.remove else {}),
        ref=params.ref,
        session=call.caller.session,
        slot=f"{params.ref}.{number}",
    )


def _veil(drafts: Sequence[tuple[Draft, Asked]]) -> None:
    """Says of each new entry who may not see what it is about."""
    late: dict[tuple[str, int], tuple[str, ...] | None] = {}
    for draft, asked in drafts:
        if draft.late is None or isinstance(asked.standing, CallError):
            continue
        where = (draft.conv, asked.call.params.ref)
        if where not in late:
            late[where] = targets.too_late(asked.place, asked.standing, where[1])
        draft.late = late[where]


def _reactions(asked: Collection[Asked]) -> dict[Place, list[Reaction]]:
    """What these people have done about these messages so far, in order."""
    convs: dict[str, list[Asked]] = {}
    for each in asked:
        convs.setdefault(each.call.params.conv, []).append(each)
    found: dict[Place, list[Reaction]] = {}
    for conv, those in convs.items():
        refs, uids = (each.call.params.ref for each in those), (each.call.uid for each in those)
        for document in log().storage.about(conv, refs, "reaction", uids):
            entry = shown(document, None, log().content)
            where = (conv, entry["ref"], entry["sender"])
            body = entry.get("body", {})
            emoji, remove = body.get("emoji", ""), body.get("remove", False)
            reaction = Reaction(entry["seq"], entry["ts"], document["cid"], emoji, remove)
            found.setdefault(where, []).append(reaction)
    return found
