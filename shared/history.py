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


@dataclass(frozen=True, slots=True)
class Page:
    """A run without holes, ascending; `more` is whether the log goes on beyond it, in the
    direction of reading; `last_seq` is the log's highest number that is known."""

    entries: list[Document]
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


class History:
    """Contiguous reads of the logs. Safe under threads."""

    def __init__(self, log: Log, hole_age: float) -> None:
        self._log = log
        self._hole_age = hole_age

    def after(self, conv: str, seq: int, limit: int, view: Bounds = ALL) -> Page:
        """At most `limit` entries of the view that follow the number `seq`."""
        seq = max(seq, view.first - 1)
        found = self._dense(conv, seq + 1, view.end(seq + limit))
        run = _run(found, seq + 1)
        last_seq = view.end(self._last_seq(conv, found))
        return Page(run, last_seq, last_seq > seq + len(run))

    def before(self, conv: str, seq: int, limit: int, view: Bounds = ALL) -> Page:
        """At most `limit` entries of the view that precede the number `seq`, ascending, up to
        `seq - 1`."""
        last_seq = view.end(self._last_seq(conv, []))
        end = min(seq - 1, last_seq)
        first = max(view.first, end - limit + 1)
        found = self._dense(conv, first, end)
        start = _dense_from(found, end)
        return Page(found[start:], last_seq, first > view.first or start > 0)

    def latest(self, conv: str, limit: int, view: Bounds = ALL) -> Page:
        """The last `limit` entries of the view."""
        return self.before(conv, view.end(self._last_seq(conv, [])) + 1, limit, view)

    def _dense(self, conv: str, first: int, last: int) -> list[Document]:
        """The entries with these numbers, old holes among them closed."""
        found = self._log.storage.between(conv, first, last)
        holes = self._old_holes(found, first)
        if not holes:
            return found
        now = time.time_ns() // 1_000_000
        voids = fill(self._log.storage, conv, holes, now)
        self._log.announcer.announce(
            [Announcement(each, shown(each, None, self._log.content)) for each in voids]
        )
        return self._log.storage.between(conv, first, last)

    def _old_holes(self, found: Sequence[Document], first: int) -> list[int]:
        """Numbers below an entry that is old enough; they were given out before it was."""
        limit = time.time() * 1000 - self._hole_age * 1000
        settled = max((each["seq"] for each in found if each["ts"] < limit), default=0)
        if not settled:
            return []
        return sorted(set(range(first, settled)) - {each["seq"] for each in found})

    def _last_seq(self, conv: str, found: Sequence[Document]) -> int:
        tail = self._log.tails.read([conv])[conv].seq
        return max(tail, found[-1]["seq"] if found else 0)


def _run(found: Sequence[Document], first: int) -> list[Document]:
    """The entries numbered `first`, `first + 1`, … up to the first hole."""
    return [each for seq, each in enumerate(found, first) if each["seq"] == seq]


def _dense_from(found: Sequence[Document], last: int) -> int:
    """The index from which on the entries are dense up to the number `last`."""
    start = len(found)
    while start > 0 and found[start - 1]["seq"] == last - (len(found) - start):
        start -= 1
    return start
