"""Connections of one kind, such as those that have not opened a session yet: a bounded number from
each address, and the oldest go first."""

from collections import OrderedDict
from typing import Generic, TypeVar

S = TypeVar("S")


class Crowd(Generic[S]):
    """`put` and `remove` cost the same however many there are."""

    def __init__(self, limit: int) -> None:
        """`limit` is for each place (`peers.place`)."""
        self._limit = limit
        self._places: dict[str, OrderedDict[S, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def put(self, place: str, one: S) -> S | None:
        """Takes one more. Gives back the oldest of its place where those are too many now."""
        there = self._places.setdefault(place, OrderedDict())
        there[one] = None
        return there.popitem(last=False)[0] if len(there) > self._limit else None

    def remove(self, place: str, one: S) -> None:
        """It has opened a session, or is gone. Safe to repeat."""
        there = self._places.get(place)
        if there is None:
            return
        there.pop(one, None)
        if not there:
            del self._places[place]

    def take_oldest(self) -> S | None:
        """Gives back the oldest where there are the most, None where there are none."""
        most = max(self._places, key=lambda place: len(self._places[place]), default=None)
        if most is None:
            return None
        oldest = next(iter(self._places[most]))
        self.remove(most, oldest)
        return oldest
