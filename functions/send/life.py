"""What becomes of a message: edited, or recalled.

Each is an entry of its own, so that devices that were away learn of it in order; and the message
itself is changed in the record, so that whoever reads it later gets its present state. The entry
comes first: a repeated command finds it and carries out what is missing.
"""

import time
from typing import Any

import orjson

from shared import bodies, membership, policy
from shared.call import Call
from shared.clock import LEEWAY
from shared.collections import Document
from shared.entry import Draft, Entry, shown
from shared.errors import CallError, Reason
from shared.log import log
from shared.settings import settings

from . import targets
from .params import Edit, Recall


def edit(call: Call[Edit]) -> dict[str, Any]:
    conv, ref, content = call.params.conv, call.params.ref, log().content
    written = _written(call)
    entry = _append(_edited(call) if written is None else _repeated(call, "edit"))
    body = call.params.body if written is None else shown(written, None, content).get("body")
    if body is not None:
        text = orjson.dumps(body)
        log().storage.edit(
            conv, ref, entry.seq, entry.ts, lambda key: content.seal(conv, key, text)
        )
    return {"seq": entry.seq, "ts": entry.ts}


def recall(call: Call[Recall]) -> dict[str, Any]:
    written = _written(call)
    entry = _append(_recalled(call) if written is None else _repeated(call, "recall"))
    log().storage.recall(call.params.conv, call.params.ref, entry.ts)
    return {"seq": entry.seq, "ts": entry.ts}


def _edited(call: Call[Edit]) -> Draft:
    params = call.params
    place = membership.parsed(params.conv)
    standing = policy.writer(call.uid, place)
    target = targets.message(params.conv, params.ref)
    if target is None or not targets.sees(standing, params.ref):
        raise CallError(Reason.NOT_FOUND)
    if target["sender"] != call.uid:
        raise CallError(Reason.FORBIDDEN, "somebody else's message")
    if "forwarded" in target:
        raise CallError(Reason.FORBIDDEN, "somebody else's words")
    bodies.check(target["type"], params.body, settings().body_limit)
    targets.require_present(target)
    draft = _draft(call, "edit", params.body)
    draft.late = targets.too_late(place, standing, params.ref)
    return draft


def _recalled(call: Call[Recall]) -> Draft:
    params = call.params
    _, standing = targets.readable(call.uid, params.conv)
    target = targets.message(params.conv, params.ref)
    # One's own words may be taken back also where one does not see them any more.
    if target is None or not (targets.sees(standing, params.ref) or target["sender"] == call.uid):
        raise CallError(Reason.NOT_FOUND)
    if standing.role not in ("admin", "owner"):
        _require_recallable(call.uid, target)
    targets.require_present(target)
    draft = _draft(call, "recall", {})
    draft.outside = standing.role is None
    return draft


def _require_recallable(uid: str, target: Document) -> None:
    if target["sender"] != uid:
        raise CallError(Reason.FORBIDDEN, "somebody else's message")
    window = settings().recall_window
    if window and time.time() * 1000 - target["ts"] > (window + LEEWAY) * 1000:
        raise CallError(Reason.FORBIDDEN, "too late to recall")


def _draft(call: Call[Any], type_: str, body: dict[str, Any]) -> Draft:
    return Draft(
        conv=call.params.conv,
        sender=call.uid,
        command=call.method,
        cid=call.params.cid,
        type=type_,
        body=body,
        ref=call.params.ref,
        session=call.caller.session,
    )


def _written(call: Call[Any]) -> Document | None:
    """The entry of this command, where it is being repeated."""
    key = _draft(call, "", {}).key
    return log().storage.by_key([key]).get(key)


def _repeated(call: Call[Any], type_: str) -> Draft:
    """A draft whose entry is stored: it is only announced, where nobody did. Whoever may see it
    fetches it."""
    draft = _draft(call, type_, {})
    draft.late = None
    return draft


def _append(draft: Draft) -> Entry:
    outcome = log().append([draft])[0]
    if isinstance(outcome, CallError):
        raise outcome
    return outcome
