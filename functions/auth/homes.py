"""Where people are at home: the networks they signed in or refreshed from of late. Kept in MongoDB,
since it is what lets somebody in while a neighbour guesses."""

from datetime import UTC, datetime, timedelta

from shared.clock import now_ms
from shared.collections import HOMES, Document
from shared.settings import settings
from shared.stores import database


def is_home(uid: str, source: str) -> bool:
    """Whether this person was signed in there within `home_days`."""
    known = database()[HOMES].find_one(_place(uid, source), {"expires": True})
    return known is not None and bool(known["expires"] > datetime.now(UTC))


def remember(uid: str, source: str) -> None:
    """The person is signed in there now."""
    database()[HOMES].update_one(
        _place(uid, source),
        {
            "$set": {
                "source": source,
                "used_at": now_ms(),
                "expires": datetime.now(UTC) + timedelta(days=settings().home_days),
            }
        },
        upsert=True,
    )


def _place(uid: str, source: str) -> Document:
    return {"_id": f"{uid} {source}", "uid": uid}
