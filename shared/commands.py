"""First results of changing calls, so that a repeated `cid` changes nothing.

A command is claimed before it runs and its result kept after, for `ttl` seconds. A claim whose
runner died is taken over after `lease` seconds, by whatever clock: a method must therefore be safe
to run again from the start, which it is when what it makes has ids derived from its `cid`
(`Call.derived_id`).
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.clock import LEEWAY
from shared.collections import Document
from shared.errors import CallError, Reason
from shared.finds import find


class Commands:
    """The `commands` collection. Safe under threads and processes."""

    def __init__(self, commands: Collection[Document], ttl: int, lease: float) -> None:
        self._commands = commands
        self._ttl = timedelta(seconds=ttl)
        self._lease = lease

    def claim(self, uid: str, method: str, cid: str) -> tuple[bool, Any]:
        """(True, None) where the caller is to run the command, (False, its first result) where it
        has run. Raises `unavailable` while somebody else runs it."""
        key, now = command_key(uid, method, cid), time.time()
        claim = {"_id": key, "at": now, "expires": datetime.now(UTC) + self._ttl}
        try:
            self._commands.insert_one(claim)
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

    def keep(self, uid: str, method: str, cid: str, result: Any) -> None:
        """The command's result, for whoever repeats it."""
        self._commands.update_one(
            {"_id": command_key(uid, method, cid)}, {"$set": {"result": orjson.dumps(result)}}
        )

    def results(self, keys: Sequence[str]) -> dict[str, Any]:
        """The first results of those commands that are done."""
        found = find(self._commands, keys, result={"$exists": True})
        return {each["_id"]: orjson.loads(each["result"]) for each in found}

    def keep_first(self, results: Mapping[str, bytes]) -> None:
        """Results (as JSON) of commands that nobody claimed; one that is kept already stays."""
        if not results:
            return
        now, expires = time.time(), datetime.now(UTC) + self._ttl
        self._commands.bulk_write(
            [
                UpdateOne(
                    {"_id": key},
                    {"$setOnInsert": {"at": now, "expires": expires, "result": result}},
                    upsert=True,
                )
                for key, result in results.items()
            ],
            ordered=False,
        )

    def release(self, uid: str, method: str, cid: str) -> None:
        """The command changed nothing: it may be tried again."""
        self._commands.delete_one(
            {"_id": command_key(uid, method, cid), "result": {"$exists": False}}
        )


def command_key(uid: str, method: str, cid: str) -> str:
    """The key of a command: a repeated one has the same."""
    return f"{uid} {method} {cid}"
