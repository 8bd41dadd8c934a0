"""First results of changing calls, so that a repeated `cid` changes nothing.

A `cid` counts for one user, method and target: used again for another target it is another command.
What a command leaves behind, here and in logs, bears a key that says so.

A command is claimed before it runs and its result kept after, for `ttl` seconds. A claim whose
runner died is taken over after `lease` seconds, by whatever clock: a method must therefore be safe
to run again from the start, which it is when what it makes has ids derived from its `cid`
(`Call.derived_id`).
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

import orjson
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.clock import LEEWAY
from shared.collections import COMMANDS, OUTCOMES, Document
from shared.errors import CallError, Reason
from shared.finds import find
from shared.settings import settings
from shared.stores import database

_TARGETS = ("conv", "gid", "uid", "file", "call", "id")


class Commands:
    """A collection of results. Safe under threads and processes."""

    def __init__(self, commands: Collection[Document], ttl: int | None, lease: float) -> None:
        """`ttl` is the seconds that results are kept, None for ever."""
        self._commands = commands
        self._ttl = None if ttl is None else timedelta(seconds=ttl)
        self._lease = lease

    def claim(self, key: str) -> tuple[bool, Any]:
        """(True, None) where the caller is to run the command, (False, its first result) where it
        has run. Raises `unavailable` while somebody else runs it."""
        now = time.time()
        try:
            self._commands.insert_one({"_id": key, "at": now} | self._expiry())
            return True, None
        except DuplicateKeyError:
            known = self._commands.find_one({"_id": key})
        if known is not None and "result" in known:
            return False, orjson.loads(known["result"])
        if known is not None and now - known["at"] > self._lease + LEEWAY:
            taken = self._commands.update_one(
                {"_id": key, "at": known["at"], "result": {"$exists": False}}, {"$set": {"at": now}}
            )
            if taken.modified_count:
                return True, None
        raise CallError(Reason.UNAVAILABLE, "the same command is under way", retry_after=1)

    def keep(self, key: str, result: Any) -> None:
        """The command's result, for whoever repeats it."""
        self._commands.update_one({"_id": key}, {"$set": {"result": orjson.dumps(result)}})

    def results(self, keys: Sequence[str]) -> dict[str, Any]:
        """The first results of those commands that are done."""
        found = find(self._commands, keys, result={"$exists": True})
        return {each["_id"]: orjson.loads(each["result"]) for each in found}

    def keep_first(self, results: Mapping[str, bytes]) -> None:
        """Results (as JSON) of commands that nobody claimed; one that is kept already stays."""
        if not results:
            return
        kept = {"at": time.time()} | self._expiry()
        self._commands.bulk_write(
            [
                UpdateOne({"_id": key}, {"$setOnInsert": kept | {"result": result}}, upsert=True)
                for key, result in results.items()
            ],
            ordered=False,
        )

    def release(self, key: str) -> None:
        """The command changed nothing: it may be tried again."""
        self._commands.delete_one({"_id": key, "result": {"$exists": False}})

    def _expiry(self) -> Document:
        return {} if self._ttl is None else {"expires": datetime.now(UTC) + self._ttl}


def target_of(params: object) -> str:
    """What a command is about: all the places, people and things that its params name; a role where
    they name nothing else; empty where they name nothing. Has no space."""
    named = [getattr(params, name, None) for name in _TARGETS]
    given = [each for each in named if isinstance(each, str)]
    role = getattr(params, "role", None)
    if not given and isinstance(role, str):
        given = [role]
    return ",".join(quote(each, safe=":") for each in given)


def command_key(uid: str, method: str, target: str, cid: str) -> str:
    """The key of a command: a repeated one has the same."""
    return f"{uid} {method} {target} {cid}"


def entry_command(method: str, target: str, conv: str) -> str:
    """The command in the key of an entry that it leaves in a log: the method, and of the target
    what the log itself does not say. Has no space."""
    said = ("", conv, conv[2:])
    return ",".join([method, *(each for each in target.split(",") if each not in said)])


@cache
def expiring() -> Commands:
    """Results of calls that are safe to run again, in the end: kept for a while."""
    config = settings()
    return Commands(database()[COMMANDS], config.command_ttl, config.command_lease)


@cache
def lasting() -> Commands:
    """Results of commands on groups and friendships, kept as long as these are: running one again
    would undo what came later."""
    return Commands(database()[OUTCOMES], None, settings().command_lease)
