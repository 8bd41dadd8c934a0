"""Write-once storage of entries: a number and a command are each stored once, and that decides.

`_id` is (conversation, sender, command, cid) and the unique index is (conversation, number), so one
insert checks both. Reads are by conversation and numbers, which are dense: nothing is sorted or
skipped by the store, but to find what stands above a hole and where a log ends (`ends`).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from shared.collections import Document
from shared.ends import Newest, newest_of
from shared.finds import find
from shared.telemetry import COMMIT_ENTRIES, STEP_SECONDS
from shared.writes import duplicates

Span = tuple[str, int, int]  # conversation, first and last number


def _seq(document: Document) -> int:
    return int(document["seq"])


class Storage:
    """The `messages` collection. Safe under threads."""

    def __init__(self, messages: Collection[Document]) -> None:
        self._messages = messages
        self._settled = messages.with_options(read_concern=ReadConcern("majority"))

    @STEP_SECONDS.labels("insert").time()
    def insert(self, documents: Sequence[Document]) -> int | None:
        """Stores the documents in order, durably. Returns None where all are stored, or the index
        of the first that was refused because its number or its command is there already; those
        behind it were not tried. Raises what the driver raises where the outcome is unknown."""
        COMMIT_ENTRIES.observe(len(documents))
        try:
            self._messages.insert_many(documents, ordered=True)
        except BulkWriteError as failure:
            refused = duplicates(failure)
            if refused:
                return refused[0]
            raise
        return None

    def insert_each(self, documents: Sequence[Document]) -> list[Document]:
        """Stores the documents, each for itself, durably, and returns those that were not refused.
        Raises what the driver raises where the outcome is unknown."""
        if not documents:
            return []
        try:
            self._messages.insert_many(documents, ordered=False)
        except BulkWriteError as failure:
            refused = set(duplicates(failure))
            return [each for index, each in enumerate(documents) if index not in refused]
        return list(documents)

    def by_key(self, keys: Sequence[str]) -> dict[str, Document]:
        """The documents of these `_id`s that are stored durably: who asks acknowledges them."""
        return {found["_id"]: found for found in find(self._settled, keys)}

    def edit(self, conv: str, seq: int, by: int, ts: int, content: Callable[[str], bytes]) -> None:
        """Gives an entry the body of the edit entry numbered `by`. The highest number wins, in
        whatever order edits arrive; a recalled entry stays without a body. `content` seals the
        body for the entry's key."""
        place = {"conv": conv, "seq": seq}
        entry = self._messages.find_one(place, {"_id": True})
        if entry is not None:
            latest = {"$or": [{"edited_by": {"$exists": False}}, {"edited_by": {"$lt": by}}]}
            self._messages.update_one(
                place | {"recalled": {"$exists": False}} | latest,
                {"$set": {"body": content(entry["_id"]), "edited": ts, "edited_by": by}},
            )
        if self._messages.find_one(place | {"recalled": {"$exists": True}}, {"_id": True}):
            # It was recalled while the edit was under way: the edit's own body must go as well.
            self.recall(conv, seq, ts)

    def recall(self, conv: str, seq: int, ts: int) -> None:
        """Removes the body of an entry, and of all edits of it, for ever."""
        # The mark comes with the removal, and an edit that is under way respects the mark.
        self._messages.update_one(
            {"conv": conv, "seq": seq, "recalled": {"$exists": False}},
            {"$unset": {"body": ""}, "$set": {"recalled": ts}},
        )
        self._messages.update_many(
            {"conv": conv, "ref": seq, "type": "edit", "recalled": {"$exists": False}},
            {"$unset": {"body": ""}, "$set": {"recalled": ts}},
        )

    def between(self, conv: str, first: int, last: int) -> list[Document]:
        """The stored entries with these numbers (both ends included), ascending."""
        found = self._messages.find({"conv": conv, "seq": {"$gte": first, "$lte": last}})
        return sorted(found, key=_seq)

    def numbered(self, conv: str, seqs: Iterable[int]) -> dict[int, Document]:
        """Those of these numbers that are stored."""
        found = self._messages.find({"conv": conv, "seq": {"$in": sorted(set(seqs))}})
        return {each["seq"]: each for each in found}

    def about(
        self, conv: str, seqs: Iterable[int], type_: str, senders: Iterable[str]
    ) -> list[Document]:
        """The entries of this type that these people wrote about the entries with these numbers,
        ascending."""
        refs, uids = sorted(set(seqs)), sorted(set(senders))
        found = self._messages.find(
            {"conv": conv, "ref": {"$in": refs}, "sender": {"$in": uids}, "type": type_}
        )
        return sorted(found, key=_seq)

    def spans(self, asked: Sequence[Span]) -> list[list[Document]]:
        """The same for many: those that ask for the same numbers share a query."""
        convs: dict[tuple[int, int], list[str]] = {}
        for conv, first, last in asked:
            convs.setdefault((first, last), []).append(conv)
        found: dict[Span, list[Document]] = {}
        for (first, last), named in convs.items():
            if len(named) == 1:
                found[named[0], first, last] = self.between(named[0], first, last)
                continue
            numbers = {"$gte": first, "$lte": last}
            for document in find(self._messages, named, by="conv", seq=numbers):
                found.setdefault((document["conv"], first, last), []).append(document)
        return [sorted(found.get(span, []), key=_seq) for span in asked]

    def above(self, conv: str, seq: int) -> Document | None:
        """The stored entry that follows this number (its `seq` and `ts`), None where there is
        none."""
        behind = {"conv": conv, "seq": {"$gt": seq}}
        return self._messages.find_one(behind, {"_id": False, "seq": 1, "ts": 1}, sort=[("seq", 1)])

    def highest(self, convs: Sequence[str]) -> dict[str, int]:
        """The highest stored number of each log, 0 where it is empty."""
        newest = self.newest(convs)
        return {conv: int(newest[conv]["seq"]) if conv in newest else 0 for conv in convs}

    def newest(self, convs: Sequence[str]) -> dict[str, Document]:
        """The newest stored entry of each log that has one."""
        return self._newest(list(dict.fromkeys(convs))) if convs else {}

    @cached_property
    def _newest(self) -> Newest:
        return newest_of(self._messages)
