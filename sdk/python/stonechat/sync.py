"""Keeping all conversations' timelines complete: gaps are fetched, numbers are compared."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from stonechat.entry import Entry
from stonechat.errors import Forbidden, NotFound, StonechatError
from stonechat.inbox import Inbox
from stonechat.state import State
from stonechat.timeline import Timeline

if TYPE_CHECKING:
    from stonechat.client import Client

_PAGE = 200
_PAUSE = 0.25  # seconds, where an entry is on its way and not there yet


class Sync:
    """The timelines of one client. Ready entries go to the inbox, in order."""

    def __init__(
        self,
        client: "Client",
        state: State,
        inbox: Inbox[Entry],
        *,
        from_start: bool,
    ) -> None:
        self._client = client
        self._state = state
        self._inbox = inbox
        self._timelines = {conv: Timeline(last) for conv, last in state.lasts().items()}
        self._from_start = from_start
        self._begun = from_start or bool(self._timelines) or bool(state.get("begun"))
        self._early: list[Entry] = []
        self._fetching: dict[str, asyncio.Task[None]] = {}

    def arrived(self, entry: Entry) -> None:
        """An entry is here: by notification, as the result of sending it, or fetched."""
        if not self._begun:
            self._early.append(entry)
            return
        timeline = self._timeline(entry.conv)
        self._inbox.put(timeline.offer(entry))
        if timeline.behind:
            self._fetch(entry.conv)

    def hint(self, conv: str, last_seq: int) -> None:
        """The conversation goes up to this number."""
        if self._begun:
            timeline = self._timeline(conv)
            timeline.heard_of(last_seq)
            if timeline.behind:
                self._fetch(conv)

    async def compare(self) -> None:
        """Compares with the server's list, and fetches what is missing here."""
        listed = await self._client.conversations()
        if not self._begun:
            self._begin({each["conv"]: each["last_seq"] for each in listed})
        for each in listed:
            self.hint(each["conv"], each["last_seq"])

    def _begin(self, lasts: dict[str, int]) -> None:
        """A client without a past starts behind what there is, but for what just arrived."""
        for entry in self._early:
            lasts[entry.conv] = min(lasts.get(entry.conv, 0), entry.seq - 1)
        for conv, last in lasts.items():
            self._timelines[conv] = Timeline(last)
            self._state.set_last(conv, last)
        self._state.put("begun", True)
        self._begun = True
        early, self._early = self._early, []
        for entry in early:
            self.arrived(entry)

    def _timeline(self, conv: str) -> Timeline:
        timeline = self._timelines.get(conv)
        if timeline is None:
            timeline = self._timelines[conv] = Timeline(0)
        return timeline

    def _fetch(self, conv: str) -> None:
        if conv not in self._fetching:
            task = asyncio.get_running_loop().create_task(self._close_gap(conv))
            self._fetching[conv] = task
            task.add_done_callback(lambda done: self._fetched(conv, done))

    async def _close_gap(self, conv: str) -> None:
        timeline = self._timeline(conv)
        # What is only overtaken on its way here arrives by itself.
        await asyncio.sleep(0.02)
        while timeline.behind:
            await self._inbox.room.wait()
            before = timeline.last
            try:
                found = await self._client.history(conv, after=before, limit=_PAGE)
            except (Forbidden, NotFound):
                return
            except (StonechatError, TimeoutError):
                found = []
            for entry in found:
                self._inbox.put(timeline.offer(entry))
            if timeline.behind and timeline.last == before:
                await asyncio.sleep(_PAUSE)

    def _fetched(self, conv: str, done: "asyncio.Task[None]") -> None:
        del self._fetching[conv]
        if done.cancelled():
            return
        with suppress(ConnectionError):
            done.result()
            if self._timeline(conv).behind and self._client.running:
                self._fetch(conv)
