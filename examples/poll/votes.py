"""Votes: a collection of this function's own, `poll_votes`, a document for each person and poll.

| field | is |
|---|---|
| `_id` | `conv seq uid` |
| `poll` | `conv seq` |
| `option` | the index of the option chosen |
| `changes` | how often this person voted |
| `cids` | the last commands that did, so that none does it twice |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.collections import Document
from shared.stores import database

VOTES = "poll_votes"
INDEXES = [IndexModel([("poll", ASCENDING)], name="poll")]
_CIDS = 20  # commands remembered of one person in one poll


@dataclass(frozen=True, slots=True)
class Tally:
    """How many chose each option. Of two tallies the one with the higher `rev` is the later."""

    votes: tuple[int, ...]
    rev: int


class Votes:
    """Safe under threads and processes."""

    def __init__(self, votes: Collection[Document]) -> None:
        self._votes = votes

    def cast(self, poll: str, uid: str, option: int, cid: str) -> None:
        """Gives or changes a vote. A command that is repeated, even after a later one, changes
        nothing."""
        key, first = f"{poll} {uid}", {"poll": poll, "option": option, "changes": 1, "cids": [cid]}
        try:
            self._votes.insert_one({"_id": key} | first)
        except DuplicateKeyError:  # the person has voted, perhaps by this very command
            self._votes.update_one(
                {"_id": key, "cids": {"$ne": cid}},
                {
                    "$set": {"option": option},
                    "$inc": {"changes": 1},
                    "$push": {"cids": {"$each": [cid], "$slice": -_CIDS}},
                },
            )

    def tally(self, poll: str, options: Sequence[str]) -> Tally:
        """Reads all votes of the poll, so it suits some ten thousand of them."""
        chosen = self._votes.aggregate(
            [
                {"$match": {"poll": poll}},
                {"$group": {"_id": "$option", "votes": {"$sum": 1}, "rev": {"$sum": "$changes"}}},
            ]
        )
        found = {each["_id"]: each for each in chosen}
        votes = (found[index]["votes"] if index in found else 0 for index in range(len(options)))
        return Tally(tuple(votes), sum(each["rev"] for each in found.values()))

    def choice(self, poll: str, uid: str) -> int | None:
        """The option that a person chose."""
        found = self._votes.find_one({"_id": f"{poll} {uid}"}, {"option": True})
        return None if found is None else int(found["option"])


@cache
def votes() -> Votes:
    """This process's votes, their indexes made. To make them again changes nothing."""
    collection = database()[VOTES]
    collection.create_indexes(INDEXES)
    return Votes(collection)
