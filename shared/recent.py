"""A bounded memory of facts that never turn false, so that stores are asked for each once."""

from collections.abc import Iterable
from threading import Lock


class Recent:
    """A set of at most `limit` strings; the oldest make room. Safe under threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str, None] = {}
        self._lock = Lock()

    def unknown(self, facts: Iterable[str]) -> list[str]:
        """Those that are not known, each once."""
        return [fact for fact in dict.fromkeys(facts) if fact not in self._known]

    def add(self, facts: Iterable[str]) -> None:
        with self._lock:
            self._known.update(dict.fromkeys(facts))
            while len(self._known) > self._limit:
                del self._known[next(iter(self._known))]
