"""A chat with one person or in one group, in a terminal, or over lines where there is none."""

import asyncio
import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout

from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.errors import NotFound, OutboxFull, StonechatError
from stonechat.groups import Group
from stonechat.params import command
from stonechat.presence import Presence
from stonechat.signals import Read
from stonechat.terminal import files, screen, stdin, typed
from stonechat.terminal.called import Called
from stonechat.terminal.lines import presence
from stonechat.terminal.running import reason
from stonechat.terminal.typed import Typed
from stonechat.users import User

_HISTORY = 30
_MEMBERS = 200
_WAIT_SECONDS = 2.0
_END_SECONDS = 5.0  # in which what is on the way may still be stored
_REACTABLE = ("text", "image", "audio", "video", "file", "location", "card", "custom")


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation: its name for people, the other one (None in a group), and what its members
    call themselves there, by uid."""

    conv: str
    title: str
    peer: str | None
    nicknames: dict[str, str] = field(default_factory=dict)


def with_person(client: Client, user: User) -> Place:
    conv = "d:" + ":".join(sorted((client.uid, user.uid)))
    return Place(conv, user.username, user.uid)


async def in_group(client: Client, group: Group) -> Place:
    """Knows the nicknames of the first members."""
    members = await client.groups.members(group.gid, limit=_MEMBERS)
    nicknames = {each.uid: each.nickname for each in members if each.nickname}
    return Place(group.conv, group.name, None, nicknames)


class Chat:
    """The conversation on the screen: its history, what arrives, what is typed."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        self._conv = place.conv
        self._called = Called(client, place.nicknames)
        self._shown = 0
        self._sent = 0  # number of one's own last message that is stored
        self._heard = 0  # and of the last of others
        self._read = 0  # number up to which the other has read
        self._sends: set[asyncio.Task[None]] = set()
        self._presence: Presence | None = None  # of the other, where one may see it
        self._prompt: PromptSession[str] | None = None
        if screen.is_interactive():
            self._prompt = PromptSession(erase_when_done=True)

    async def run(self) -> None:
        """Until the person ends it with Ctrl-C or Ctrl-D, or the input ends. Raises
        `ConnectionError` where the device was signed out, and `Closed`."""
        await self._show(await self._client.history(self._conv, limit=_HISTORY))
        await self._mark_read()
        follow = asyncio.create_task(self._follow())
        typing = asyncio.create_task(self._type(self._prompt) if self._prompt else self._take())
        listen = asyncio.create_task(self._listen())
        try:
            done, _ = await asyncio.wait([follow, typing], return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
            await self._finish()
        except OSError as error:
            if error.errno in (errno.EIO, errno.EPIPE):
                raise screen.Closed from None
            raise
        finally:
            tasks = [follow, typing, listen, *self._sends]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _type(self, prompt: "PromptSession[str]") -> None:
        with suppress(KeyboardInterrupt, EOFError), patch_stdout():
            while True:
                text = await prompt.prompt_async(screen.prompt(), bottom_toolbar=self._toolbar)
                self._entered(text)

    async def _take(self) -> None:
        async for line in stdin.lines():
            if line.fault:
                self._tell(f"line {line.number}: {line.fault}")
            else:
                self._entered(line.text)

    def _entered(self, text: str) -> None:
        if not text.strip():
            return
        try:
            asked = typed.parse(text)
        except ValueError as error:
            self._tell(error)
            return
        if asked.kind == "help":
            self._tell(typed.HELP)
            return
        task = asyncio.create_task(self._do(asked))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _do(self, asked: Typed) -> None:
        try:
            await self._asked(asked)
        except (StonechatError, OutboxFull, TimeoutError) as error:
            self._tell(f"not done: {reason(error)}")
        finally:
            self._refresh()

    async def _asked(self, asked: Typed) -> None:
        own = asked.kind in ("edit", "recall")
        ref = asked.ref or (self._sent if own else self._heard)
        if asked.kind == "say":
            await self._client.send(conv=self._conv, text=asked.text)
        elif not ref:
            self._tell("there is no message that this could be about; name its number, as in #1")
        elif asked.kind == "reply":
            await self._client.send(conv=self._conv, text=asked.text, reply_to=ref)
        else:
            about = command(conv=self._conv, ref=ref)
            if asked.kind == "edit":
                about["body"] = {"text": asked.text}
            elif asked.kind == "react":
                about["emoji"] = asked.text
            await self._client.call(f"message.{asked.kind}", about)

    async def _finish(self) -> None:
        """Waits for what is on the way, and says so where it stays there."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=_END_SECONDS)
        if self._sends:
            left = len(self._sends)
            self._tell(f"{left} not stored yet; your next chat sends what is left")

    async def _follow(self) -> None:
        async for entry in self._client.entries():
            if entry.conv == self._conv and entry.seq > self._shown:
                await self._show([entry])
                if entry.sender != self._client.uid:
                    await self._mark_read()
                self._refresh()

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

    async def _show(self, entries: Sequence[Entry]) -> None:
        for line in await self._called.lines(entries):
            if self._prompt is None:
                screen.show(line)
            else:
                screen.show_in_colours(line)
        for entry in entries:
            self._shown = entry.seq
            if entry.type in _REACTABLE and entry.sender == self._client.uid:
                self._sent = entry.seq
            elif entry.type in _REACTABLE:
                self._heard = entry.seq

    def _tell(self, message: object) -> None:
        if self._prompt is None:
            screen.tell(message)
        else:
            screen.tell_in_colours(message)

    def _toolbar(self) -> FormattedText:
        if not self._client.connected:
            return screen.toolbar(self._place.title, "connecting …")
        mark = ""
        if self._sends:
            mark = f"… {len(self._sends)} on the way"
        elif self._sent:
            read = self._place.peer is not None and self._read >= self._sent
            mark = "✓✓ read" if read else "✓ stored"
        there = presence(self._presence)
        return screen.toolbar(self._place.title, there, mark, "/help", "Ctrl-D ends")

    def _refresh(self) -> None:
        if self._prompt is not None:
            self._prompt.app.invalidate()


async def wait_for_person(client: Client, username: str) -> User:
    """The person, as soon as there is one of that name. Raises `NotFound` where there can be
    none."""
    try:
        wanted = files.username(username)
    except ValueError as error:
        raise NotFound(-32003, f"{username}: {error}", {"reason": "not_found"}) from None
    told = False
    while (found := await client.find(wanted)) is None:
        if not told:
            screen.tell(f"nobody is called {wanted} yet; waiting until somebody is (Ctrl-C ends)")
            told = True
        await asyncio.sleep(_WAIT_SECONDS)
    return found
