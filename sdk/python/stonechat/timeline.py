"""The order of one conversation, whatever order its entries arrive in. No I/O."""

from collections.abc import Sequence

from stonechat.entry import Entry

_EARLY = 1_000  # how far ahead an entry is kept; beyond, it is fetched when its turn comes


class Timeline:
    """Entries are applied strictly by number: the next one at once, later ones when the gap before
    them is closed, earlier ones never again."""

    __slots__ = ("_early", "_known", "last")

    def __init__(self, last: int) -> None:
        """`last` is the number of the last entry that was applied, 0 for none."""
        self.last = last
        self._known = last
        self._early: dict[int, Entry] = {}

    def offer(self, entry: Entry) -> list[Entry]:
        """What may be applied now that this entry is here, in order."""
        if entry.seq <= self.last:
            return []
        self.heard_of(entry.seq)
        if entry.seq - self.last <= _EARLY:
            self._early[entry.seq] = entry
        ready = []
        while (following := self._early.pop(self.last + 1, None)) is not None:
            ready.append(following)
            self.last += 1
        return ready

    def page(self, after: int, entries: Sequence[Entry]) -> list[Entry]:
        """The same for an answer to `message.history` with this `after`. It is contiguous, so where
        it begins later than `after + 1`, this person's view of the conversation begins there."""
        if entries and after == self.last:
            self._begin_at(entries[0].seq)
        return [ready for entry in entries for ready in self.offer(entry)]

    def heard_of(self, seq: int) -> None:
        """The conversation has an entry with this number."""
        self._known = max(self._known, seq)

    def forget(self) -> None:
        """What is ahead is not for this person, as far as is known now."""
        self._known = self.last
        self._early.clear()

    @property
    def behind(self) -> bool:
        """Whether entries after `last` are to be fetched."""
        return self.last < self._known

    def _begin_at(self, seq: int) -> None:
        self.last = max(self.last, seq - 1)
        for each in [each for each in self._early if each <= self.last]:
            del self._early[each]
