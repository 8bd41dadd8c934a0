"""Write-once storage of entries: a number and a command are each stored once, and that decides.

`_id` is (conversation, sender, command, cid) and the unique index is (conversation, number), so one
insert checks both. All reads are by conversation and numbers, which are dense: nothing is sorted
or skipped by the store.
"""

from collections.abc import Sequence

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from shared.collections import Document

DUPLICATE_KEY = 11000


class Storage:
    """The `messages` collection. Safe under threads."""

    def __init__(self, messages: Collection[Document]) -> None:
        self._messages = messages

    def insert(self, documents: Sequence[Document]) -> int | None:
        """Stores the documents in order, durably. Returns None where all are stored, or the index
        of the first that was refused because its number or its command is there already; those
        behind it were not tried. Raises what the driver raises where the outcome is unknown."""
        try:
            self._messages.insert_many(documents, ordered=True)
        except BulkWriteError as failure:
            errors = failure.details.get("writeErrors", [])
            if errors and errors[0]["code"] == DUPLICATE_KEY:
                return int(errors[0]["index"])
            raise
        return None

    def by_key(self, keys: Sequence[str]) -> dict[str, Document]:
        """The documents of these `_id`s that are stored."""
        return {found["_id"]: found for found in self._messages.find({"_id": {"$in": list(keys)}})}

    def between(self, conv: str, first: int, last: int) -> list[Document]:
        """The stored entries with these numbers (both ends included), ascending."""
        found = self._messages.find({"conv": conv, "seq": {"$gte": first, "$lte": last}})
        return sorted(found, key=lambda document: int(document["seq"]))

    def highest(self, conv: str, at_least: int = 0) -> int:
        """The highest stored number, 0 in an empty log; `at_least` is one known to be stored.

        A galloping search (Bentley and Yao, 1976): as numbers are dense, probes at growing
        distances find the end without a sorted scan. A hole may make it too low, never too high.
        """
        while True:
            probes = [at_least + (1 << bit) for bit in range(40)]
            found = self._messages.find(
                {"conv": conv, "seq": {"$in": probes}}, {"_id": False, "seq": True}
            )
            best = max((int(document["seq"]) for document in found), default=at_least)
            if best == at_least:
                return at_least
            at_least = best

    def newest(self, convs: Sequence[str]) -> dict[str, Document]:
        """The newest stored entry of each log that has one."""
        newest = {}
        for conv in convs:
            found = self.between(conv, seq := self.highest(conv), seq)
            if found:
                newest[conv] = found[0]
        return newest
