"""The order of one conversation, whatever order its entries arrive in. No I/O."""

from stonechat.entry import Entry

_EARLY = 10_000  # how far ahead an entry is kept; beyond, it is fetched when its turn comes


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

    def heard_of(self, seq: int) -> None:
        """The conversation has an entry with this number."""
        self._known = max(self._known, seq)

    @property
    def behind(self) -> bool:
        """Whether entries after `last` are to be fetched."""
        return self.last < self._known
