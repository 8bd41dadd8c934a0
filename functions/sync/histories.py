"""Pages of a conversation's log, as one person may see it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from shared import guarding, membership, pages
from shared.call import Call
from shared.collections import Document
from shared.entry import shown_all
from shared.errors import CallError, Reason
from shared.history import Bounds, History, Page, Wanted
from shared.log import log
from shared.members import Standing
from shared.settings import settings

from .params import ReadHistory

_AT_ONCE = 2000  # entries in memory, of all the pages of a batch


def read(calls: Sequence[Call[ReadHistory]]) -> list[Any]:
    """The answers to `message.history`."""
    places = [membership.parsed(call.params.conv) for call in calls]
    known = membership.standings(
        (call.uid, place) for call, place in zip(calls, places, strict=True)
    )
    asked = guarding.each(
        zip(calls, places, strict=True),
        lambda each: _wanted(each[0].params, known[each[0].uid, each[1]]),
        "message.history",
    )
    answers: list[Any] = list(asked)
    wanted = {i: each for i, each in enumerate(asked) if not isinstance(each, CallError)}
    for part in _portions(wanted):
        found = guarding.each(
            zip(part, history().read(list(part.values())), strict=True),
            lambda each: _shown(each[1], calls[each[0]], wanted[each[0]].view.first),
            "message.history",
        )
        for index, answer in zip(part, found, strict=True):
            answers[index] = answer
    return answers


def _wanted(params: ReadHistory, standing: Standing) -> Wanted:
    if not standing.may_read:
        raise CallError(Reason.NOT_A_MEMBER)
    view = Bounds(standing.first, standing.last)
    return Wanted(params.conv, params.limit, view, params.after, params.before)


def _portions(wanted: Mapping[int, Wanted]) -> Iterator[dict[int, Wanted]]:
    """As many pages at a time as fit into memory."""
    part: dict[int, Wanted] = {}
    size = 0
    for index, each in wanted.items():
        if part and size + each.limit > _AT_ONCE:
            yield part
            part, size = {}, 0
        part[index] = each
        size += each.limit
    if part:
        yield part


def _shown(page: Page, call: Call[ReadHistory], first: int) -> dict[str, Any]:
    """The part of the page that has room in one answer, from where the caller reads on, whose sight
    begins with the number `first`."""
    way = 1 if call.params.after is not None else -1
    likely = _likely(page.entries[::way])
    entries = shown_all(likely[::way], call.uid, log().content, first)
    fitting = pages.fitting(entries[::way])
    return {
        "entries": fitting[::way],
        "first_seq": page.first_seq,
        "last_seq": page.last_seq,
        "more": page.more or len(fitting) < len(page.entries),
    }


def _likely(documents: Sequence[Document]) -> list[Document]:
    """Those that may have room: an entry is longer than its sealed body. The others need not be
    opened."""
    room = settings().answer_bytes
    likely: list[Document] = []
    for each in documents:
        if room < 0:
            break
        likely.append(each)
        room -= len(each["body"]) if isinstance(each.get("body"), bytes) else 0
    return likely


@cache
def history() -> History:
    """This process's reader of logs."""
    return History(log(), settings().hole_age)
