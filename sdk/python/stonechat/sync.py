"""Keeping all conversations' timelines complete: gaps are fetched, numbers are compared."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from stonechat.entry import Entry
from stonechat.errors import Forbidden, InvalidParams, NotFound, StonechatError
from stonechat.inbox import Inbox
from stonechat.state import State
from stonechat.timeline import Timeline

_OVERTAKEN = 0.02  # seconds in which what was only overtaken on its way arrives by itself
_FETCHES = 8  # at once: after a long absence every conversation is behind
_PAUSE, _LONGEST_PAUSE = 0.25, 10.0  # seconds, where an entry is on its way and not there yet
_EARLY = 1_000  # entries that are kept before the first comparison; the rest is fetched after it
_TRIES = 10  # until one that was told of is not believed in; a comparison tells of it again

logger = logging.getLogger("stonechat")

History = Callable[[str, int], Awaitable[list[Entry]]]


class Sync:
    """The timelines of one client. Ready entries go to the inbox, in order. While that is full,
    what arrives is not kept but fetched when there is room, so that memory is bounded, and answers
    still get through, however slow the app is."""

    def __init__(
        self, state: State, inbox: Inbox[Entry], history: History, *, from_start: bool
    ) -> None:
        """`history(conv, after)` fetches the entries that follow, contiguous. A client without a
        past knows where to begin from the first comparison, unless it begins `from_start`."""
        self._state = state
        self._inbox = inbox
        self._history = history
        self._from_start = from_start
        self._timelines: dict[str, Timeline] = {}
        self._begun = False
        self._before: list[Entry] = []  # what arrived before the first comparison
        self._new: set[str] = set()  # conversations that one came into before it
        self._made: dict[str, int] = {}  # where one's own calls wrote before it, the first number
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(_FETCHES)

    def load(self) -> None:
        """Goes on from what the state remembers of this account."""
        self._timelines = {conv: Timeline(last) for conv, last in self._state.lasts().items()}
        self._begun = self._from_start or bool(self._state.get("begun"))

    def arrived(self, entry: Entry) -> None:
        """An entry is here: by notification, or as the result of sending it."""
        if not self._begun:
            if len(self._before) < _EARLY:
                self._before.append(entry)
            else:
                self.own(entry.conv, entry.seq)
            return
        timeline = self._timeline(entry.conv)
        if self._inbox.room.is_set():
            self._inbox.put(timeline.offer(entry))
        elif entry.seq > timeline.last:
            timeline.heard_of(entry.seq)
        self._catch_up(entry.conv)

    def hint(self, conv: str, last_seq: int) -> None:
        """The conversation goes up to this number."""
        if self._begun:
            self._timeline(conv).heard_of(last_seq)
            self._catch_up(conv)
        else:
            self._new.add(conv)

    def own(self, conv: str, seq: int) -> None:
        """A call of one's own made this entry, or found it made; it is not here, and is fetched."""
        if self._begun:
            self.hint(conv, seq)
        else:
            self._made[conv] = min(self._made.get(conv, seq), seq)

    def compare(self, lasts: dict[str, int], starts: dict[str, int]) -> None:
        """The server's last number of each conversation: what is missing here is fetched. A client
        without a past has what came behind `starts`, the numbers before the comparison took
        place."""
        if not self._begun:
            self._begin(starts)
        for conv, last_seq in lasts.items():
            self.hint(conv, last_seq)

    async def close(self) -> None:
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, lasts: dict[str, int]) -> None:
        """A client without a past starts behind what there is, but for what just arrived."""
        starts = lasts | dict.fromkeys(self._new, 0)
        for entry in self._before:
            starts[entry.conv] = min(starts.get(entry.conv, 0), entry.seq - 1)
        for conv, seq in self._made.items():
            starts[conv] = min(starts.get(conv, seq - 1), seq - 1)
        self._timelines = {conv: Timeline(last) for conv, last in starts.items()}
        self._state.begin(starts)
        self._begun = True
        before, self._before = self._before, []
        for entry in before:
            self.arrived(entry)
        for conv, seq in self._made.items():
            self.hint(conv, seq)
        self._made.clear()

    def _timeline(self, conv: str) -> Timeline:
        timeline = self._timelines.get(conv)
        if timeline is None:
            timeline = self._timelines[conv] = Timeline(0)
        return timeline

    def _catch_up(self, conv: str) -> None:
        if self._timelines[conv].behind and conv not in self._fetching:
            task = asyncio.get_running_loop().create_task(self._close_gap(conv))
            self._fetching[conv] = task
            task.add_done_callback(lambda done: self._fetched(conv, done))

    async def _close_gap(self, conv: str) -> None:
        timeline = self._timelines[conv]
        pause, tries = _PAUSE, 0
        await asyncio.sleep(_OVERTAKEN)
        while timeline.behind:
            async with self._turn:
                await self._inbox.room.wait()
                before, answered = timeline.last, False
                try:
                    found = await self._history(conv, before)
                    answered = True
                except (Forbidden, NotFound):
                    timeline.forget()
                    return
                except (StonechatError, TimeoutError) as error:
                    found = []
                    # Of what is no conversation there will be nothing.
                    answered = isinstance(error, InvalidParams)
                self._inbox.put(timeline.page(before, found))
            if timeline.last > before:
                pause, tries = _PAUSE, 0
            elif timeline.behind:
                tries += answered
                if tries >= _TRIES:
                    logger.warning("what was told of in %s is not there", conv)
                    timeline.forget()
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _fetched(self, conv: str, done: "asyncio.Task[None]") -> None:
        del self._fetching[conv]
        # A client that ended has told its app why; any other error is a bug, and loud.
        if not done.cancelled() and not isinstance(done.exception(), ConnectionError):
            done.result()
            self._catch_up(conv)
