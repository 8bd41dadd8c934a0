"""Guarded writes: many documents in one call, of which some may have been overtaken."""

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from shared.collections import Document

_DUPLICATE_KEY = 11000


def ignoring_duplicates(collection: Collection[Document], writes: Sequence[UpdateOne]) -> None:
    """Upserts by `_id` and a condition on the revision. Where the condition fails the upsert would
    insert the `_id` again and is refused: a later revision is there, and stands."""
    refused(collection, writes)


def refused(collection: Collection[Document], writes: Sequence[UpdateOne]) -> list[int]:
    """The same, and which of them (by index) were refused."""
    if writes:
        try:
            collection.bulk_write(list(writes), ordered=False)
        except BulkWriteError as failure:
            return duplicates(failure)
    return []


def insert_or_update(
    collection: Collection[Document], documents: Sequence[Document], updates: Sequence[UpdateOne]
) -> None:
    """Inserts the documents; where one of that `_id` is there, makes the update in the same place
    instead. Much faster than upserts where most are new."""
    if not documents:
        return
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as failure:
        ignoring_duplicates(collection, [updates[index] for index in duplicates(failure)])


def duplicates(failure: BulkWriteError) -> list[int]:
    """The indexes of what was there already. Raises the failure where it is another one, and where
    the rest, or what was found there, is not known to be durable."""
    details = failure.details
    errors = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(each["code"] != _DUPLICATE_KEY for each in errors):
        raise failure
    return [int(each["index"]) for each in errors]
