"""A chat with one person, in a terminal."""

import asyncio
from contextlib import suppress

from prompt_toolkit import HTML, PromptSession, print_formatted_text
from prompt_toolkit.patch_stdout import patch_stdout

from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.errors import StonechatError
from stonechat.terminal.lines import Line, line

_HISTORY = 30
_WAIT_SECONDS = 2.0


class Chat:
    """The conversation on the screen: its history, what arrives, what is typed."""

    def __init__(self, client: Client, peer: dict[str, str]) -> None:
        self._client = client
        self._peer = peer
        self._conv = "d:" + ":".join(sorted((client.uid, peer["uid"])))
        self._names = {peer["uid"]: peer["username"]}
        self._shown = 0
        self._sent = 0  # number of one's own last message that is stored
        self._read = 0  # number up to which the other has read
        self._sending = 0
        self._prompt: PromptSession[str] = PromptSession(erase_when_done=True)

    async def run(self) -> None:
        """Until the person ends it with Ctrl-C or Ctrl-D."""
        for entry in await self._client.history(self._conv, limit=_HISTORY):
            self._show(entry)
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
                    self._show(entry)
                    if entry.sender != self._client.uid:
                        await self._mark_read()
                    self._refresh()
        except ConnectionError as error:  # signed out: there is nothing more to type for
            self._prompt.app.exit(exception=error)

    async def _listen(self) -> None:
        async for method, params in self._client.signals():
            place = params.get("conv"), params.get("uid")
            if method == "read" and place == (self._conv, self._peer["uid"]):
                self._read = max(self._read, params["seq"])
                self._refresh()

    async def _mark_read(self) -> None:
        if self._shown:
            with suppress(StonechatError, TimeoutError):
                await self._client.read(self._conv, self._shown)

    def _show(self, entry: Entry) -> None:
        self._shown = entry.seq
        if entry.sender == self._client.uid:
            self._sent = entry.seq
        found = line(entry, self._client.uid, self._names)
        if found is not None:
            print_formatted_text(_formatted(found))

    def _toolbar(self) -> str:
        if not self._client.connected:
            return f" {self._peer['username']} · connecting …"
        mark = ""
        if self._sending:
            mark = f" · … {self._sending} on the way"
        elif self._sent:
            mark = " · ✓✓ read" if self._read >= self._sent else " · ✓ stored"
        return f" {self._peer['username']}{mark} · Ctrl-D ends"

    def _refresh(self) -> None:
        with suppress(Exception):
            self._prompt.app.invalidate()


def _formatted(found: Line) -> HTML:
    colour = "ansicyan" if found.mine else "ansigreen"
    mark = " <ansigray>✓</ansigray>" if found.mine else ""
    template = f"<ansigray>{{}}</ansigray> <{colour}>{{}}</{colour}> {{}}{mark}"
    return HTML(template).format(found.when, found.who, found.what)


async def wait_for_person(client: Client, username: str) -> dict[str, str]:
    """The person, as soon as there is one of that name."""
    told = False
    while (found := await client.find(username)) is None:
        if not told:
            print(f"nobody is called {username} yet; waiting until somebody is (Ctrl-C ends)")
            told = True
        await asyncio.sleep(_WAIT_SECONDS)
    return found
