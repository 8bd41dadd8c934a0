"""A chat with one person or in one group, in a terminal."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from prompt_toolkit import HTML, PromptSession, print_formatted_text
from prompt_toolkit.patch_stdout import patch_stdout

from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.errors import StonechatError
from stonechat.groups import Group
from stonechat.presence import Presence
from stonechat.signals import Read
from stonechat.terminal.lines import Line, line, presence
from stonechat.users import User

_HISTORY = 30
_MEMBERS = 200
_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation: its name for people, the other one (None in a group), and what its members
    are called, by uid."""

    conv: str
    title: str
    peer: str | None
    names: dict[str, str]


def with_person(client: Client, user: User) -> Place:
    conv = "d:" + ":".join(sorted((client.uid, user.uid)))
    return Place(conv, user.username, user.uid, {user.uid: user.username})


async def in_group(client: Client, group: Group) -> Place:
    """Knows the first members by name; those who write later are asked for then."""
    members = await client.groups.members(group.gid, limit=_MEMBERS)
    users = await client.users.get(each.uid for each in members)
    names = {uid: user.username for uid, user in users.items()}
    names |= {each.uid: each.nickname for each in members if each.nickname}
    return Place(group.conv, group.name, None, names)


class Chat:
    """The conversation on the screen: its history, what arrives, what is typed."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        self._conv = place.conv
        self._shown = 0
        self._sent = 0  # number of one's own last message that is stored
        self._read = 0  # number up to which the other has read
        self._sending = 0
        self._presence: Presence | None = None  # of the other, where one may see it
        self._prompt: PromptSession[str] = PromptSession(erase_when_done=True)

    async def run(self) -> None:
        """Until the person ends it with Ctrl-C or Ctrl-D."""
        for entry in await self._client.history(self._conv, limit=_HISTORY):
            await self._show(entry)
        await self._mark_read()
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._listen())]
        try:
            with patch_stdout():
                while True:
                    text = await self._prompt.prompt_async("› ", bottom_toolbar=self._toolbar)
                    if text.strip():
                        tasks.append(asyncio.create_task(self._send(text)))
        except (KeyboardInterrupt, EOFError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, text: str) -> None:
        self._sending += 1
        try:
            await self._client.send(conv=self._conv, text=text)
        except StonechatError as error:
            print_formatted_text(HTML("<ansired>not sent: {}</ansired>").format(str(error)))
        finally:
            self._sending -= 1
            self._refresh()

    async def _follow(self) -> None:
        try:
            async for entry in self._client.entries():
                if entry.conv == self._conv and entry.seq > self._shown:
                    await self._show(entry)
                    if entry.sender != self._client.uid:
                        await self._mark_read()
                    self._refresh()
        except ConnectionError as error:  # signed out: there is nothing more to type for
            self._prompt.app.exit(exception=error)

    async def _listen(self) -> None:
        await self._see()
        async for signal in self._client.signals():
            match signal:
                case Read(conv=self._conv, uid=uid, seq=seq) if uid == self._place.peer:
                    self._read = max(self._read, seq)
                case Presence(uid=uid) if uid == self._place.peer:
                    self._presence = signal
                case _:
                    continue
            self._refresh()

    async def _see(self) -> None:
        """Whether the other is there, to begin with; later, signals tell."""
        if self._place.peer is not None:
            with suppress(StonechatError, TimeoutError):
                found = await self._client.presence.get([self._place.peer])
                self._presence = found.get(self._place.peer)
            self._refresh()

    async def _mark_read(self) -> None:
        if self._shown:
            with suppress(StonechatError, TimeoutError):
                await self._client.read(self._conv, self._shown)

    async def _show(self, entry: Entry) -> None:
        self._shown = entry.seq
        if entry.sender == self._client.uid:
            self._sent = entry.seq
        elif entry.sender not in self._place.names:
            with suppress(StonechatError, TimeoutError):
                users = await self._client.users.get([entry.sender])
                self._place.names.update({uid: each.username for uid, each in users.items()})
        found = line(entry, self._client.uid, self._place.names)
        if found is not None:
            print_formatted_text(_formatted(found))

    def _toolbar(self) -> str:
        if not self._client.connected:
            return f" {self._place.title} · connecting …"
        there = presence(self._presence)
        mark = ""
        if self._sending:
            mark = f" · … {self._sending} on the way"
        elif self._sent:
            read = self._place.peer is not None and self._read >= self._sent
            mark = " · ✓✓ read" if read else " · ✓ stored"
        return f" {self._place.title}{there}{mark} · Ctrl-D ends"

    def _refresh(self) -> None:
        with suppress(Exception):
            self._prompt.app.invalidate()


def _formatted(found: Line) -> HTML:
    colour = "ansicyan" if found.mine else "ansigreen"
    mark = " <ansigray>✓</ansigray>" if found.mine else ""
    template = f"<ansigray>{{}}</ansigray> <{colour}>{{}}</{colour}> {{}}{mark}"
    return HTML(template).format(found.when, found.who, found.what)


async def wait_for_person(client: Client, username: str) -> User:
    """The person, as soon as there is one of that name."""
    told = False
    while (found := await client.find(username)) is None:
        if not told:
            print(f"nobody is called {username} yet; waiting until somebody is (Ctrl-C ends)")
            told = True
        await asyncio.sleep(_WAIT_SECONDS)
    return found
