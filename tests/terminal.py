"""The command `stonechat` as people and scripts run it: by pipes, or by a terminal of its own."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

COMMAND = [sys.executable, "-c", "from stonechat.terminal import main; main()"]
COMPLETION = [
    sys.executable,
    "-c",
    "import sys; sys.argv = ['stonechat']; from stonechat.terminal import main; main()",
]
_SECONDS = 60
_STYLE = re.compile(rb"\x1b\[[0-9;]*m")
_COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*3[0-7]m")
Ended = tuple[int | None, list[str], str]


class Terminal:
    """Runs the command with a state of its own."""

    def __init__(self, url: str, state: Path) -> None:
        self.state = state
        self._environment = os.environ | {"STONECHAT_URL": url, "STONECHAT_STATE": str(state)}

    async def start(
        self, *arguments: str | bytes, **environment: str
    ) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env=self._environment | environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )

    async def run(
        self, *arguments: str | bytes, given: str | bytes = "", **environment: str
    ) -> Ended:
        """The exit code, the lines of output, and what was said beside it."""
        code, output, said = await self.run_raw(*arguments, given=given, **environment)
        return code, output.decode().splitlines(), said.decode()

    async def run_raw(
        self, *arguments: str | bytes, given: str | bytes = "", **environment: str
    ) -> tuple[int | None, bytes, bytes]:
        """The same in bytes."""
        process = await self.start(*arguments, **environment)
        given = given.encode() if isinstance(given, str) else given
        async with asyncio.timeout(_SECONDS):
            output, said = await process.communicate(given)
        return process.returncode, output, said

    async def shell(self, line: str) -> Ended:
        """The same of a line of shell, in which `$STONECHAT` is the command."""
        with_command = {"PYTHON": sys.executable, "PROGRAM": COMMAND[2]}
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", line.replace("$STONECHAT", '"$PYTHON" -c "$PROGRAM"')),
            env=self._environment | with_command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_SECONDS):
            output, said = await process.communicate()
        return process.returncode, output.decode().splitlines(), said.decode()

    async def complete(self, words: str) -> list[str]:
        """What the shell is told to offer for the last word."""
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        process = await asyncio.create_subprocess_exec(
            *COMPLETION,
            env=self._environment | asked | {"_STONECHAT_COMPLETE": "complete_bash"},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate()
        return output.decode().split()

    @asynccontextmanager
    async def screen(
        self, *arguments: str, columns: int = 100, **environment: str
    ) -> AsyncIterator["Screen"]:
        """The command in a terminal, killed at the end where it still runs."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env=self._environment | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"} | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        screen = Screen(process, ours)
        try:
            yield screen
        finally:
            screen.close()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Screen:
    """What a terminal is told by the command, and a keyboard."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self.process = process
        self.told = b""  # without the styles of text
        self.coloured = False
        self._descriptor = descriptor
        self._news = asyncio.Event()
        self._open = True
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def type(self, text: str | bytes) -> None:
        os.write(self._descriptor, text.encode() if isinstance(text, str) else text)

    async def until(self, text: str) -> bytes:
        """What was told since the last time, up to where this text is."""
        wanted = text.encode()
        try:
            async with asyncio.timeout(_SECONDS):
                while wanted not in self.told:
                    assert self._open, self.told
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {self.told!r}") from None
        end = self.told.index(wanted) + len(wanted)
        found, self.told = self.told[:end], self.told[end:]
        return found

    async def ended(self) -> int | None:
        """The exit code."""
        async with asyncio.timeout(_SECONDS):
            await self.process.wait()
        return self.process.returncode

    def close(self) -> None:
        """The terminal is gone."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> None:
        try:
            found = os.read(self._descriptor, 65536)
        except OSError:
            found = b""
        if not found:
            self.close()
        told = self.told + found
        self.coloured = self.coloured or _COLOUR.search(told) is not None
        self.told = _STYLE.sub(b"", told)
        self._news.set()
