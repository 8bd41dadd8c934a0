"""Changes of a document that have consequences elsewhere: all of them happen, or none.

There are no transactions over several documents, so a change is one atomic write of one document:
its new state, and with it an *intent*, a description of what is to follow (other documents, log
entries, signals). Whoever wrote it carries the intent out and then removes it. A process that dies
in between leaves the intent behind, and whoever comes next carries it out first; that is helping,
as lock-free algorithms do it (Herlihy, 1991).

An intent is taken before it is helped: whoever wrote it has it for some seconds, and renews that
(`intent_at`) while it works; later it is taken by one of those who come, and the others wait for
that one, or go on without, if they only read. Holding it prevents work that is done many times,
and no more than that: a process that stood still may go on after another took its intent.

So carrying out must be idempotent, and must not undo what a later intent did: everything it writes
bears the document's revision, and a lower revision never replaces a higher one.

The results of the commands that made a change are part of it, so a command that is repeated finds
its first result, however far the first run came.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError

from shared.collections import Document
from shared.commands import Commands
from shared.errors import CallError, Reason
from shared.holds import Holds

_PAUSE = 0.002  # seconds, doubled with each collision up to a limit
_LONGEST_PAUSE = 0.1
_INTENT = ("intent", "intent_results", "intent_at")
_GRACE = 2.0  # seconds that an intent stays with who has it, unless renewed

_holds = Holds(_GRACE / 4)


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
        pauses = _pauses(deadline)
        while True:
            present = self._settled(key, deadline)
            change = plan(present, self._commands.results(commands))
            if change is None:
                return present
            made = self._write(key, present, change)
            if made is not None:
                self._finish(made)
                return made
            next(pauses)

    def settled(self, key: str) -> Document | None:
        """The document, what it intends carried out. Raises `unavailable` where that takes its
        carrier too long."""
        return self._settled(key, time.monotonic() + self._timeout)

    def settle_old(self, document: Document) -> None:
        """Carries out an intent that nobody has any more: for readers, which need not wait for one
        that is under way."""
        if "intent" in document and _is_old(document) and self._take(document):
            self._finish(document)

    def _settled(self, key: str, deadline: float) -> Document | None:
        pauses, seen, since = _pauses(deadline), None, 0.0
        while True:
            document = self._documents.find_one({"_id": key})
            if document is None or "intent" not in document:
                return document
            state = document["rev"], document["intent_at"]
            if state != seen:
                seen, since = state, time.monotonic()
            # Clocks of hosts differ; one's own tells as well that nobody renews it.
            is_left = _is_old(document) or time.monotonic() - since > _GRACE
            if is_left and self._take(document):
                self._finish(document)
                for name in _INTENT:
                    del document[name]
                return document
            next(pauses)

    def _take(self, document: Document) -> bool:
        """Whether the intent is ours now, and not another's."""
        return self._hold(document, time.time())

    def _hold(self, document: Document, until: float) -> bool:
        seen = {name: document[name] for name in ("_id", "rev", "intent_at")}
        held = self._documents.update_one(seen, {"$set": {"intent_at": until}}).matched_count
        if held:
            document["intent_at"] = until
        return bool(held)

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
        """Carries out the intent, which is ours. Where that fails it is nobody's any more."""
        try:
            with _holds.held(lambda: self._renew(document)):
                self._carry_out(document)
        except BaseException:
            with suppress(PyMongoError):
                self._hold(document, 0.0)
            raise
        self._commands.keep_first(
            {each["command"]: each["result"] for each in document["intent_results"]}
        )
        self._documents.update_one(
            {"_id": document["_id"], "rev": document["rev"]}, {"$unset": dict.fromkeys(_INTENT, "")}
        )

    def _renew(self, document: Document) -> None:
        self._hold(document, time.time())


def _is_old(document: Document) -> bool:
    """Whether whoever has the intent renewed it last so long ago that it is dead."""
    return time.time() - float(document["intent_at"]) > _GRACE


def _pauses(deadline: float) -> Iterator[None]:
    """Each next pauses, longer and longer; raises `unavailable` after the deadline."""
    pause = _PAUSE
    while time.monotonic() < deadline:
        time.sleep(random.uniform(0, pause))  # noqa: S311
        pause = min(pause * 2, _LONGEST_PAUSE)
        yield
    raise CallError(Reason.UNAVAILABLE, "changed by many at once", retry_after=1)
