"""Reading a log: runs of entries without a hole.

A hole is a number that was given out and is not stored. It may still be stored by a slow writer,
so a reader stops before it; once what stands above it is older than `hole_age`, the reader closes
it with a void, and a slow writer that comes back collides and takes a new number. So no reader ever
skips an entry that appears later. Ages compare the clocks of functions' hosts; a wrong clock makes
holes close early or late and never loses an entry, for the insert decides.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.announcer import Announcement
from shared.collections import Document
from shared.commit import fill
from shared.entry import shown
from shared.log import Log
from shared.storage import Span

_WIDEST = 10_000  # numbers of a hole that are closed at once


@dataclass(frozen=True, slots=True)
class Page:
    """A run without holes, ascending; `more` is whether the log goes on beyond it, in the
    direction of reading; `first_seq` and `last_seq` are the lowest and the highest number that
    there is, as far as is known."""

    entries: list[Document]
    first_seq: int
    last_seq: int
    more: bool


class Bounds(NamedTuple):
    """What somebody may see of a log: from `first` to `last`, to its end where that is None."""

    first: int = 1
    last: int | None = None

    def end(self, seq: int) -> int:
        """This number, or the last one that may be seen."""
        return seq if self.last is None else min(seq, self.last)


ALL = Bounds()


class Wanted(NamedTuple):
    """A page that somebody wants: of at most `limit` entries of the view, those that follow the
    number `after`, those that precede `before`, or the last."""

    conv: str
    limit: int
    view: Bounds = ALL
    after: int | None = None
    before: int | None = None

    def span(self, last: int) -> tuple[str, int, int]:
        """The conversation and the numbers to read, of a log whose last number is this."""
        if self.after is not None:
            seq = max(self.after, self.view.first - 1)
            return self.conv, seq + 1, self.view.end(seq + self.limit)
        end = self.view.end(last)
        if self.before is not None:
            end = min(self.before - 1, end)
        return self.conv, max(self.view.first, end - self.limit + 1), end

    def page(self, found: list[Document], first: int, last: int, last_seq: int) -> Page:
        """The page, from what was found of the span."""
        begin = self.view.first
        if self.after is not None:
            run = _run(found, first)
            return Page(run, begin, last_seq, last_seq >= first + len(run))
        start = _dense_from(found, last)
        return Page(found[start:], begin, last_seq, first > begin or start > 0)


class History:
    """Contiguous reads of the logs. Safe under threads."""

    def __init__(self, log: Log, hole_age: float) -> None:
        self._log = log
        self._hole_age = hole_age

    def after(self, conv: str, seq: int, limit: int, view: Bounds = ALL) -> Page:
        """At most `limit` entries of the view that follow the number `seq`."""
        return self.read([Wanted(conv, limit, view, after=seq)])[0]

    def before(self, conv: str, seq: int, limit: int, view: Bounds = ALL) -> Page:
        """At most `limit` entries of the view that precede the number `seq`, ascending, up to
        `seq - 1`."""
        return self.read([Wanted(conv, limit, view, before=seq)])[0]

    def latest(self, conv: str, limit: int, view: Bounds = ALL) -> Page:
        """The last `limit` entries of the view."""
        return self.read([Wanted(conv, limit, view)])[0]

    def read(self, wanted: Sequence[Wanted]) -> list[Page]:
        """The page of each, in few round trips."""
        tails = self._log.tails.numbers(list(dict.fromkeys(each.conv for each in wanted)))
        spans = [each.span(tails[each.conv].seq) for each in wanted]
        stored = self._log.storage.spans(spans)
        pages = []
        for each, span, found in zip(wanted, spans, stored, strict=True):
            conv, first, last = span
            dense = self._dense(span, found, tails[conv].seq)
            known = max(tails[conv].seq, dense[-1]["seq"] if dense else 0)
            pages.append(each.page(dense, first, last, each.view.end(known)))
        return pages

    def _dense(self, span: Span, found: list[Document], end: int) -> list[Document]:
        """The entries of the span, old holes among them closed; `found` are those that were stored
        a moment ago, `end` is the log's last number."""
        conv, first, last = span
        holes = self._old_holes(span, found, end)
        if not holes:
            return found
        now = time.time_ns() // 1_000_000
        voids = fill(self._log.storage, conv, holes, now)
        self._log.announcer.announce(
            [Announcement.of(each, shown(each, None, self._log.content)) for each in voids]
        )
        return self._log.storage.between(conv, first, last)

    def _old_holes(self, span: Span, found: Sequence[Document], end: int) -> list[int]:
        """Numbers below an entry that is old enough; they were given out before it was. A hole at
        the end of the span is taken as far as it goes, so that it is closed at once however wide it
        is."""
        conv, first, last = span
        limit = time.time() * 1000 - self._hole_age * 1000
        numbers = {each["seq"] for each in found}
        settled = max((each["seq"] for each in found if each["ts"] < limit), default=first)
        if first <= last <= end and last not in numbers:
            # What the hole is below stands beyond.
            above = self._log.storage.above(conv, last)
            if above is not None and above["ts"] < limit:
                settled = min(int(above["seq"]), last + _WIDEST)
        return sorted(set(range(first, settled)) - numbers)


def _run(found: Sequence[Document], first: int) -> list[Document]:
    """The entries numbered `first`, `first + 1`, … up to the first hole."""
    return [each for seq, each in enumerate(found, first) if each["seq"] == seq]


def _dense_from(found: Sequence[Document], last: int) -> int:
    """The index from which on the entries are dense up to the number `last`."""
    start = len(found)
    while start > 0 and found[start - 1]["seq"] == last - (len(found) - start):
        start -= 1
    return start
