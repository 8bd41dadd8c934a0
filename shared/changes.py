"""Changes of a document that have consequences elsewhere: all of them happen, or none.

There are no transactions over several documents, so a change is one atomic write of one document:
its new state, and with it an *intent*, a description of what is to follow (other documents, log
entries, signals). Whoever wrote it carries the intent out and then removes it. A process that dies
in between leaves the intent behind, and whoever comes next carries it out first; that is helping,
as lock-free algorithms do it (Herlihy, 1991).

So carrying out must be idempotent, and must not undo what a later intent did: everything it writes
bears the document's revision, and a lower revision never replaces a higher one.

The results of the commands that made a change are part of it, so a command that is repeated finds
its first result, however far the first run came.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.collections import Document
from shared.commands import Commands
from shared.errors import CallError, Reason

_PAUSE = 0.002  # seconds, doubled with each collision up to a limit
_LONGEST_PAUSE = 0.1
_INTENT = ("intent", "intent_results", "intent_at")
_GRACE = 2.0  # seconds for a living process to carry out its own intent


class Change(NamedTuple):
    """What a document is to become, all of it but `_id`; what must follow; and the result of each
    command that is done by it, by the command's key."""

    document: Document
    intent: Document
    results: dict[str, Any]


Plan = Callable[[Document | None, dict[str, Any]], Change | None]
CarryOut = Callable[[Document], None]


class Changes:
    """Changes of one collection's documents. Safe under threads and processes."""

    def __init__(
        self,
        documents: Collection[Document],
        commands: Commands,
        carry_out: CarryOut,
        *,
        timeout: float,
    ) -> None:
        """`carry_out(document)` does what `document["intent"]` says; the document's `rev` is the
        revision that the intent came with. A change is given up after `timeout` seconds."""
        self._documents = documents
        self._commands = commands
        self._carry_out = carry_out
        self._timeout = timeout

    def make(self, key: str, commands: Sequence[str], plan: Plan) -> Document | None:
        """Changes the document as `plan` says, and carries out what follows. `plan` gets the
        present document (None where there is none) and the results of those of the `commands`
        (keys) that are done already; it may be called several times, and returns None where nothing
        is to change. Returns the document as it is then. Raises what `plan` raises, and
        `unavailable` where others change it all the time."""
        deadline = time.monotonic() + self._timeout
        pause = _PAUSE
        while True:
            present = self.settled(key)
            change = plan(present, self._commands.results(commands))
            if change is None:
                return present
            made = self._write(key, present, change)
            if made is not None:
                self._finish(made)
                return made
            if time.monotonic() > deadline:
                raise CallError(Reason.UNAVAILABLE, "changed by many at once", retry_after=1)
            time.sleep(random.uniform(0, pause))  # noqa: S311
            pause = min(pause * 2, _LONGEST_PAUSE)

    def settled(self, key: str) -> Document | None:
        """The document, what it intends carried out."""
        document = self._documents.find_one({"_id": key})
        if document is not None and "intent" in document:
            self._finish(document)
            for name in _INTENT:
                del document[name]
        return document

    def settle_old(self, document: Document) -> None:
        """Carries out an intent that its writer has had time enough for: for readers, which need
        not wait for one that is under way."""
        if "intent" in document and time.time() - document["intent_at"] > _GRACE:
            self._finish(document)

    def _write(self, key: str, present: Document | None, change: Change) -> Document | None:
        """The document as written, None where somebody else was first."""
        rev = 1 if present is None else present["rev"] + 1
        made = change.document | {
            "_id": key,
            "rev": rev,
            "intent": change.intent,
            "intent_results": [
                {"command": command, "result": orjson.dumps(result)}
                for command, result in change.results.items()
            ],
            "intent_at": time.time(),
        }
        if present is not None:
            done = self._documents.replace_one({"_id": key, "rev": present["rev"]}, made)
            return made if done.matched_count else None
        try:
            self._documents.insert_one(made)
        except DuplicateKeyError:
            return None
        return made

    def _finish(self, document: Document) -> None:
        self._carry_out(document)
        self._commands.keep_first(
            {each["command"]: each["result"] for each in document["intent_results"]}
        )
        self._documents.update_one(
            {"_id": document["_id"], "rev": document["rev"]}, {"$unset": dict.fromkeys(_INTENT, "")}
        )
