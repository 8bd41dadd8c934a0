"""What people chose to show, and when they were last seen: the `presence` collection."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pymongo import ReturnDocument, UpdateOne

from shared.collections import PRESENCE, Document
from shared.finds import find
from shared.stores import database

Status = Literal["online", "away", "busy", "invisible"]


class Choice(NamedTuple):
    """`last_seen` is in ms. `rev` grows with each choice."""

    status: str = "online"
    text: str = ""
    last_seen: int | None = None
    rev: int = 0

    @property
    def invisible(self) -> bool:
        return self.status == "invisible"

    @property
    def shown(self) -> str:
        """What others see of one who is connected."""
        return "offline" if self.invisible else self.status

    @property
    def shown_text(self) -> str:
        return "" if self.invisible else self.text


def choices(uids: Iterable[str]) -> dict[str, Choice]:
    """The choice of each."""
    found = {uid: Choice() for uid in uids}
    for document in find(database()[PRESENCE], found):
        found[document["_id"]] = _choice(document)
    return found


def choose(uid: str, status: Status, text: str) -> Choice:
    stored: Any = database()[PRESENCE].find_one_and_update(
        {"_id": uid},
        {"$set": {"status": status, "text": text}, "$inc": {"rev": 1}},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    return _choice(stored)


def saw(seen: Mapping[str, int]) -> None:
    """When people were last seen (ms), unless they were seen later."""
    if seen:
        database()[PRESENCE].bulk_write(
            [
                UpdateOne({"_id": uid}, {"$max": {"last_seen": at}}, upsert=True)
                for uid, at in seen.items()
            ],
            ordered=False,
        )


def _choice(document: Document) -> Choice:
    default = Choice()
    return Choice(
        document.get("status", default.status),
        document.get("text", default.text),
        document.get("last_seen"),
        document.get("rev", default.rev),
    )
