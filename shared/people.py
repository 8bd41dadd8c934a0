"""People as other functions need them: whether a uid is somebody."""

from collections.abc import Iterable

from shared.collections import USERS
from shared.recent import Recent
from shared.stores import database

_known = Recent(100_000)


def strangers(uids: Iterable[str]) -> set[str]:
    """The uids that belong to nobody."""
    unknown = _known.unknown(uids)
    if not unknown:
        return set()
    found = {each["_id"] for each in database()[USERS].find({"_id": {"$in": unknown}}, {"_id": 1})}
    _known.add(found)
    return set(unknown) - found
