"""Guarded writes: many upserts in one call, of which some may have been overtaken."""

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from shared.collections import Document

DUPLICATE_KEY = 11000


def ignoring_duplicates(collection: Collection[Document], writes: Sequence[UpdateOne]) -> None:
    """Upserts by `_id` and a condition on the revision. Where the condition fails the upsert would
    insert the `_id` again and is refused: a later revision is there, and stands."""
    if not writes:
        return
    try:
        collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as failure:
        details = failure.details
        errors = details.get("writeErrors", [])
        if details.get("writeConcernErrors") or any(
            each["code"] != DUPLICATE_KEY for each in errors
        ):
            raise
