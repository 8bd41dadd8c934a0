"""People as other functions need them: whether a uid is somebody."""

from collections.abc import Iterable

from shared.collections import USERS
from shared.finds import find
from shared.recent import Recent
from shared.stores import database

_known = Recent(100_000)


def strangers(uids: Iterable[str]) -> set[str]:
    """The uids that belong to nobody."""
    unknown = _known.unknown(uids)
    if not unknown:
        return set()
    found = {each["_id"] for each in find(database()[USERS], unknown, fields={"_id": True})}
    _known.add(found)
    return set(unknown) - found
