"""Where people are at home: the networks they signed in from of late. Kept in MongoDB, since it is
what lets somebody in while a neighbour guesses."""

from datetime import UTC, datetime, timedelta

from shared.clock import now_ms
from shared.collections import HOMES
from shared.settings import settings
from shared.stores import database


def is_home(uid: str, source: str) -> bool:
    """Whether this person signed in from there within `home_days`."""
    known = database()[HOMES].find_one({"_id": f"{uid} {source}"}, {"expires": True})
    return known is not None and bool(known["expires"] > datetime.now(UTC))


def remember(uid: str, source: str) -> None:
    """The person signed in from there now."""
    database()[HOMES].update_one(
        {"_id": f"{uid} {source}"},
        {
            "$set": {
                "uid": uid,
                "source": source,
                "used_at": now_ms(),
                "expires": datetime.now(UTC) + timedelta(days=settings().home_days),
            }
        },
        upsert=True,
    )
