"""People as other functions need them: whether a uid is somebody, and who may add them."""

from collections.abc import Iterable
from typing import Literal

from shared.collections import USERS, Document
from shared.finds import find
from shared.recent import Recent
from shared.settings import settings
from shared.stores import database

GroupPolicy = Literal["anyone", "friends", "nobody"]  # who adds one to groups without asking

_known = Recent(100_000)


def strangers(uids: Iterable[str]) -> set[str]:
    """The uids that belong to nobody."""
    unknown = _known.unknown(uids)
    if not unknown:
        return set()
    found = {each["_id"] for each in find(database()[USERS], unknown, fields={"_id": True})}
    _known.add(found)
    return set(unknown) - found


def group_policies(uids: Iterable[str]) -> dict[str, GroupPolicy]:
    """Who adds each of them to groups without asking; those who are nobody are left out."""
    found = find(database()[USERS], uids, fields={"group_policy": True})
    return {each["_id"]: group_policy(each) for each in found}


def group_policy(user: Document) -> GroupPolicy:
    """That of a person, which is the house's where they did not say."""
    chosen: GroupPolicy = user.get("group_policy", settings().group_policy)
    return chosen
