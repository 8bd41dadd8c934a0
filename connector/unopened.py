"""Sockets that have not opened a session yet: a few of each address, and the oldest go first."""

from collections import OrderedDict
from typing import Generic, TypeVar

S = TypeVar("S")


class Unopened(Generic[S]):
    """`put` and `remove` cost the same however many there are."""

    def __init__(self, limit: int) -> None:
        """`limit` is for each place (`peers.place`)."""
        self._limit = limit
        self._places: dict[str, OrderedDict[S, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def put(self, place: str, socket: S) -> S | None:
        """Takes one more. Gives back the oldest of its place where those are too many now."""
        sockets = self._places.setdefault(place, OrderedDict())
        sockets[socket] = None
        return sockets.popitem(last=False)[0] if len(sockets) > self._limit else None

    def remove(self, place: str, socket: S) -> None:
        """It has opened a session, or is gone. Safe to repeat."""
        sockets = self._places.get(place)
        if sockets is None:
            return
        sockets.pop(socket, None)
        if not sockets:
            del self._places[place]

    def take_oldest(self) -> S | None:
        """Gives back the oldest where there are the most, None where there are none."""
        most = max(self._places, key=lambda place: len(self._places[place]), default=None)
        if most is None:
            return None
        oldest = next(iter(self._places[most]))
        self.remove(most, oldest)
        return oldest
