"""What one subscriber has yet to handle. Plain state: no Redis, no HTTP.

Events wait here until they are due. New ones are due at once and go in batches. One that its
function asked for again is due when it said. One that failed waits longer each time and goes alone
from then on, so that it cannot fail others with it, until it is dead.

An entry of the stream is settled when all its events are; until then it is pending in Redis, which
gives it to another connector if this one dies.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connector.backoff import Backoff
from shared.events import Happened

_FIRST_PAUSE = 0.5  # seconds
_LONGEST_PAUSE = 60.0


@dataclass(slots=True, eq=False)
class Waiting:
    """An event on its way to a function."""

    event: Happened
    entry: bytes
    failures: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_PAUSE, _LONGEST_PAUSE))


class Backlog:
    def __init__(self, attempts: int) -> None:
        """`attempts` is how often an event may fail."""
        self._attempts = attempts
        self._due: list[tuple[float, int, Waiting]] = []
        self._number = 0
        self._size = 0
        self._unsettled: dict[bytes, int] = {}  # stream entry → its events that are not settled
        self._settled: list[bytes] = []

    def __len__(self) -> int:
        return self._size

    def add(self, entry: bytes, events: Sequence[Happened], now: float) -> None:
        """Takes an entry of the stream, unless it is here already. Without events it is settled."""
        if entry in self._unsettled:
            return
        if not events:
            self._settled.append(entry)
            return
        self._unsettled[entry] = len(events)
        self._size += len(events)
        for event in events:
            self.later(Waiting(event, entry), now)

    def take(self, now: float, limit: int) -> list[Waiting]:
        """The next batch of what is due: each is to be given to `done`, `later` or `failed`."""
        batch: list[Waiting] = []
        while self._due and self._due[0][0] <= now and len(batch) < limit:
            alone = self._due[0][2].failures > 0
            if alone and batch:
                break
            batch.append(heapq.heappop(self._due)[2])
            if alone:
                break
        return batch

    def done(self, waiting: Waiting) -> None:
        """The event is settled."""
        self._size -= 1
        left = self._unsettled[waiting.entry] - 1
        if left:
            self._unsettled[waiting.entry] = left
        else:
            del self._unsettled[waiting.entry]
            self._settled.append(waiting.entry)

    def later(self, waiting: Waiting, due: float) -> None:
        """The event is to be given again at that time."""
        self._number += 1
        heapq.heappush(self._due, (due, self._number, waiting))

    def failed(self, waiting: Waiting, now: float) -> bool:
        """Gives the event another try after a pause; or says False, and it is settled."""
        waiting.failures += 1
        if waiting.failures >= self._attempts:
            self.done(waiting)
            return False
        self.later(waiting, now + waiting.backoff.next())
        return True

    @property
    def next_due(self) -> float | None:
        return self._due[0][0] if self._due else None

    @property
    def entries(self) -> Iterable[bytes]:
        """The stream entries that are not settled."""
        return self._unsettled.keys()

    def settled(self) -> list[bytes]:
        """The stream entries that were settled since this was asked last."""
        settled, self._settled = self._settled, []
        return settled
