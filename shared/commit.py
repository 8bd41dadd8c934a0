"""One commit: a batch of drafts becomes entries.

    number the drafts → insert in order → sort out what was refused → again, until all are placed

The insert is ordered and stops at the first refusal, so entries of one conversation never overtake
each other. What was refused is either a repetition (its command is stored: the first entry is the
answer, and the number is used for the next draft) or a collision: its number is stored. Where a
reader closed it as a hole, this writer was slow, and takes numbers above what is stored. Where it
is somebody's entry, the counter went back, and who knows what else of Redis' state did: all of it
begins anew (`generations`), and the drafts of all conversations take new numbers.
"""

import time
from collections.abc import Callable, Sequence

import pymongo
import redis
import structlog
from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError

from shared.announcer import Announcement
from shared.collections import Document
from shared.content import Keyring
from shared.entry import VOID, Draft, Entry, public, shown, stored, void
from shared.errors import CallError, Reason
from shared.generations import Generation, Generations
from shared.sequencer import Sequencer
from shared.storage import Storage
from shared.telemetry import STEP_SECONDS

_ROUNDS = 10  # more than generations can pass meanwhile, but by malice
_PAUSE = 0.05  # seconds, doubled with each retry of a store that does not answer

logger = structlog.get_logger(__name__)

Outcome = Entry | CallError


class Commit:
    """The drafts of one batch on their way into storage. Used once, by one thread."""

    def __init__(
        self,
        drafts: Sequence[Draft],
        storage: Storage,
        sequencer: Sequencer,
        generations: Generations,
        content: Keyring,
    ) -> None:
        self._drafts = drafts
        self._storage = storage
        self._sequencer = sequencer
        self._generations = generations
        self._content = content
        self._taken_in: Generation = generations.present()
        self._waiting: dict[str, Draft] = {}
        for draft in drafts:
            self._waiting.setdefault(draft.key, draft)
        self._free: dict[str, list[int]] = {}  # numbers taken and not used yet, ascending
        self._placed: dict[str, Document] = {}
        self._voids: list[Document] = []

    def store(self, attempts: int, timeout: float) -> None:
        """Places every draft, or those it can within `attempts` inserts and `timeout` seconds.
        Raises what the driver raises where not even the state of a failed insert can be read."""
        try:
            with pymongo.timeout(timeout):
                self._place_all(attempts)
        except PyMongoError:
            self._return_numbers(self._give_back)  # the store is away: nothing can be closed
            raise
        self._return_numbers(self._give_back_or_close)

    def outcomes(self) -> list[Outcome]:
        """What became of each draft, in the order they were given."""
        seen: set[str] = set()
        outcomes: list[Outcome] = []
        for draft in self._drafts:
            document = self._placed.get(draft.key)
            if document is None:
                outcomes.append(CallError(Reason.UNAVAILABLE, retry_after=1))
                continue
            fresh = document["id"] == draft.id and draft.key not in seen
            seen.add(draft.key)
            outcomes.append(
                Entry(draft.conv, document["seq"], document["id"], document["ts"], fresh)
            )
        return outcomes

    def repeated(self) -> list[Document]:
        """The placed documents that an earlier append made."""
        ids = {draft.key: draft.id for draft in reversed(self._drafts)}
        return [found for key, found in self._placed.items() if found["id"] != ids[key]]

    def announcements(self, repeated: Sequence[Document]) -> list[Announcement]:
        """For all that this commit stored and the given repeated documents, by number."""
        items = [
            Announcement.fresh(document, public(draft, document), draft, self._taken_in)
            for draft in self._drafts
            if (document := self._placed.get(draft.key)) and document["id"] == draft.id
        ]
        others = [*self._voids, *repeated]
        drafts = {draft.key: draft for draft in self._drafts} if repeated else {}
        for document in others:
            entry = shown(document, None, self._content)
            late = drafts[document["_id"]].late if document["_id"] in drafts else ()
            items.append(Announcement.of(document, entry)._replace(late=late))
        return sorted(items, key=lambda item: int(item.document["seq"])) if others else items

    def _place_all(self, attempts: int) -> None:
        for attempt in range(attempts):
            self._number()
            documents = self._documents()
            try:
                refused = self._storage.insert(documents)
                if refused is None:
                    self._place(documents)
                else:
                    self._sort_out(documents, refused)
            except ServerSelectionTimeoutError:
                self._hold(documents)  # nothing was sent
                raise
            except ConnectionFailure as failure:
                if attempt == attempts - 1:
                    raise
                logger.warning("insert_interrupted", error=failure, attempt=attempt)
                time.sleep(_PAUSE * 2**attempt)
                self._sort_out(documents, None)
            if not self._waiting:
                break

    @STEP_SECONDS.labels("number").time()
    def _number(self) -> None:
        """Takes the numbers that are missing for the drafts that wait, all of one generation."""
        for _ in range(_ROUNDS):
            counts = self._lacking()
            if not counts:
                return
            taken_in, lasts = self._sequencer.take(counts)
            if taken_in != self._taken_in:
                self._free.clear()  # counters began anew: others may be given the same
                self._taken_in = taken_in
            for conv, last in lasts.items():
                run = range(last - counts[conv] + 1, last + 1)
                self._free.setdefault(conv, []).extend(run)
        raise CallError(Reason.UNAVAILABLE, retry_after=1)

    def _lacking(self) -> dict[str, int]:
        """How many numbers are missing, by conversation."""
        wanted: dict[str, int] = {}
        for draft in self._waiting.values():
            wanted[draft.conv] = wanted.get(draft.conv, 0) + 1
        lacking = {conv: n - len(self._free.get(conv, ())) for conv, n in wanted.items()}
        return {conv: count for conv, count in lacking.items() if count > 0}

    @STEP_SECONDS.labels("seal").time()
    def _documents(self) -> list[Document]:
        now = time.time_ns() // 1_000_000
        return [
            stored(draft, self._free[draft.conv].pop(0), now, self._content)
            for draft in self._waiting.values()
        ]

    def _hold(self, documents: Sequence[Document]) -> None:
        """The numbers of these are free again."""
        for document in documents:
            self._free[document["conv"]].append(document["seq"])
        for numbers in self._free.values():
            numbers.sort()

    def _place(self, documents: Sequence[Document]) -> None:
        for document in documents:
            self._placed[document["_id"]] = document
            del self._waiting[document["_id"]]

    def _sort_out(self, documents: Sequence[Document], refused: int | None) -> None:
        """After an insert that failed: what is stored is placed, the rest waits again."""
        found = self._storage.by_key([document["_id"] for document in documents])
        unused = []
        for document in documents:
            first = found.get(document["_id"])
            if first is not None:
                self._place([first])
            if first is None or first["seq"] != document["seq"]:
                unused.append(document)
        self._hold(unused)
        if refused is not None and documents[refused]["_id"] not in found:
            self._collided(documents[refused]["conv"], documents[refused]["seq"])

    def _collided(self, conv: str, seq: int) -> None:
        """A number that was given out is another entry's."""
        stored = self._storage.numbered(conv, [seq])
        if stored and stored[seq]["type"] != VOID:
            self._generations.supersede(self._taken_in, "a counter went back")
            self._free.clear()
            return
        highest = self._storage.highest([conv])[conv]
        self._free[conv] = [number for number in self._free[conv] if number > highest]
        # The counter must not give to others what is still held here.
        self._sequencer.raise_to(self._taken_in, {conv: max([highest, *self._free[conv]])})

    def _return_numbers(self, how: Callable[[str, list[int]], bool]) -> None:
        """Numbers that nobody needs go back to the counter. Where that fails, readers close them
        later."""
        for conv, numbers in self._free.items():
            try:
                if numbers and not how(conv, numbers):
                    logger.warning("holes_left", conv=conv, seqs=numbers)
            except (redis.RedisError, PyMongoError) as failure:
                logger.warning("holes_left", conv=conv, seqs=numbers, error=failure)

    def _give_back_or_close(self, conv: str, numbers: list[int]) -> bool:
        if not self._give_back(conv, numbers):
            self._voids += fill(self._storage, conv, numbers, time.time_ns() // 1_000_000)
        return True

    def _give_back(self, conv: str, numbers: list[int]) -> bool:
        dense = numbers[-1] - numbers[0] == len(numbers) - 1
        return dense and self._sequencer.give_back(
            self._taken_in, conv, numbers[-1], numbers[0] - 1
        )


def fill(storage: Storage, conv: str, seqs: Sequence[int], now: int) -> list[Document]:
    """Closes holes for good with voids, and returns those it made. Where a slow writer comes
    first, its entry stands."""
    return storage.insert_each([void(conv, seq, now) for seq in seqs])
