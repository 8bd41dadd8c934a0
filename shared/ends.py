"""Where logs end: the newest stored entry of many logs, found as the store does it best.

MongoDB walks its index from one log's end to the next (`$sort` and `$group` with `$first` are a
distinct scan of it), so many logs are one query. The embedded store reads a log through for that;
there the end is found by a galloping search (Bentley and Yao, 1976), many logs side by side.
"""

from collections.abc import Callable, Sequence
from functools import cache

from pymongo.collection import Collection

from shared.collections import Document
from shared.finds import find, portions
from shared.threads import Pool

Newest = Callable[[Sequence[str]], dict[str, Document]]

_AT_ONCE = 500  # logs in one query of a server
_PROBES = 40  # of a search: logs are shorter than 2^40
_SIDE_BY_SIDE = 8


def newest_of(messages: Collection[Document]) -> Newest:
    """The function that returns, for those of the named logs that have an entry, the newest one."""
    embedded = "secantusVersion" in messages.database.command("buildInfo")
    return Galloping(messages) if embedded else Scanning(messages)


class Scanning:
    """The way of a server."""

    def __init__(self, messages: Collection[Document]) -> None:
        self._messages = messages

    def __call__(self, convs: Sequence[str]) -> dict[str, Document]:
        newest: dict[str, Document] = {}
        for some in portions(convs, _AT_ONCE):
            ends = self._messages.aggregate(
                [
                    {"$match": {"conv": {"$in": some}}},
                    {"$sort": {"conv": -1, "seq": -1}},
                    {"$group": {"_id": "$conv", "newest": {"$first": "$$ROOT"}}},
                ]
            )
            newest |= {end["_id"]: end["newest"] for end in ends}
        return newest


class Galloping:
    """The way of the embedded store."""

    def __init__(self, messages: Collection[Document]) -> None:
        self._messages = messages

    def __call__(self, convs: Sequence[str]) -> dict[str, Document]:
        begun = self._begun(convs)
        found = map(self._newest, begun) if len(begun) == 1 else _pool().map(self._newest, begun)
        return {each["conv"]: each for each in found if each is not None}

    def _newest(self, conv: str) -> Document | None:
        """Numbers are dense, so probes at growing distances lead near the end; what stands above a
        wide hole is found by looking further."""
        low = 0
        while True:
            probes = [low + (1 << bit) for bit in range(_PROBES)]
            found = self._messages.find(
                {"conv": conv, "seq": {"$in": probes}}, {"_id": False, "seq": True}
            )
            best = max((int(each["seq"]) for each in found), default=low)
            if best == low:
                above = {"conv": conv, "seq": {"$gte": low}}
                return self._messages.find_one(above, sort=[("seq", -1)])
            low = best

    def _begun(self, convs: Sequence[str]) -> list[str]:
        """Those that have an entry: most of them a first one, which one query finds for many."""
        named = {"_id": False, "conv": True}
        first = find(self._messages, convs, by="conv", fields=named, seq=1)
        begun = {each["conv"] for each in first}
        for left in portions(conv for conv in convs if conv not in begun):
            # Nearly always there is nothing, and one query says so of all.
            while left and (one := self._messages.find_one({"conv": {"$in": left}}, named)):
                begun.add(one["conv"])
                left.remove(one["conv"])
        return [conv for conv in convs if conv in begun]


@cache
def _pool() -> Pool:
    return Pool(_SIDE_BY_SIDE, thread_name_prefix="ends")
