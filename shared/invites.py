"""Invitations to register: codes of 128 bits, kept as their hashes, good for some uses and days.

python -m shared.invites create [--uses N] [--days N]     prints the code, once
python -m shared.invites list
python -m shared.invites revoke ID
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pymongo.errors import PyMongoError

from shared import startup
from shared.clock import now_ms
from shared.collections import INVITES, Document
from shared.ids import new_id
from shared.stores import database


class Invite(NamedTuple):
    """What is known of an invitation; its code is not."""

    id: str
    left: int
    created_at: int
    expires: datetime


def create(uses: int, days: int) -> tuple[str, str]:
    """A new invitation's id and its code, which nobody can find out later."""
    id_, code = new_id(), secrets.token_urlsafe(16)
    database()[INVITES].insert_one(
        {
            "_id": _hashed(code),
            "id": id_,
            "left": uses,
            "created_at": now_ms(),
            "expires": datetime.now(UTC) + timedelta(days=days),
        }
    )
    return id_, code


def listed() -> list[Invite]:
    """Those that can be used, the oldest first."""
    found = database()[INVITES].find(_good()).sort("created_at", 1)
    return [Invite(each["id"], each["left"], each["created_at"], each["expires"]) for each in found]


def revoke(id_: str) -> bool:
    """Whether there was such an invitation; there is none any more."""
    return database()[INVITES].delete_one({"id": id_}).deleted_count > 0


def is_good(code: str | None) -> bool:
    """Whether the code could be spent now."""
    return code is not None and database()[INVITES].find_one(_good(code), {"_id": 1}) is not None


def spend(code: str) -> bool:
    """Takes one use of the code; False where it has none, is too old, or is no code."""
    spent = database()[INVITES].update_one(_good(code), {"$inc": {"left": -1}})
    return spent.modified_count > 0


def give_back(code: str) -> None:
    """The use that was spent came to nothing."""
    database()[INVITES].update_one({"_id": _hashed(code)}, {"$inc": {"left": 1}})


def _good(code: str | None = None) -> Document:
    good: Document = {"left": {"$gt": 0}, "expires": {"$gt": datetime.now(UTC)}}
    return good if code is None else good | {"_id": _hashed(code)}


def _hashed(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shared.invites", description="Invitations to register.")
    actions = parser.add_subparsers(dest="action", required=True)
    make = actions.add_parser("create", help="make one, and print its code once")
    make.add_argument("--uses", type=_positive, default=1, help="people it lets in (1)")
    make.add_argument("--days", type=_positive, default=7, help="days it is good for (7)")
    actions.add_parser("list", help="those that can be used")
    end = actions.add_parser("revoke", help="end one")
    end.add_argument("id")
    asked = parser.parse_args(arguments)
    startup.require_of_command()
    try:
        return _do(asked)
    except (PyMongoError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1


def _do(asked: argparse.Namespace) -> int:
    if asked.action == "create":
        id_, code = create(asked.uses, asked.days)
        print(f"{id_}  {code}")
    elif asked.action == "list":
        for each in listed():
            print(f"{each.id}  {each.left} left  until {each.expires:%Y-%m-%d %H:%M} UTC")
    elif not revoke(asked.id):
        print("no such invitation", file=sys.stderr)
        return 1
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
