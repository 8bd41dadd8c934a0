"""Somebody new, with a copy of the repository and a machine of their own: a network namespace, in
which the documented ports are free. They type what a page says, as it stands."""

import asyncio
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from typing import Self

from local.layout import ROOT
from tests.pages import Block

_APART = ["unshare", "--user", "--map-root-user", "--net"]
_LEFT_OUT = (
    ".git",
    ".venv",
    ".tools",
    ".local*",
    "build",
    "node_modules",
    "__pycache__",
    ".*_cache",
)
_MADE_FROM = ("pyproject.toml", "requirements.lock", "sdk/python/pyproject.toml")
_SECONDS = 60
_SIZE = (40, 160)  # lines and columns of a terminal

# What stays until it is stopped: in a terminal of its own.
_STAYS = re.compile(r"^(make up|(\S*/)?stonechat (chat|tail) )")


def possible() -> bool:
    """Whether this machine lets its user have a network apart."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run([*_APART, "true"], capture_output=True, check=False).returncode == 0


class Terminal:
    """One program in a terminal, and all that it has shown."""

    def __init__(self, line: str, process: asyncio.subprocess.Process, master: int) -> None:
        self.line = line
        self.process = process
        self.shown = ""
        self._master: int | None = master
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        assert self._master is not None
        try:
            some = os.read(self._master, 65536)
        except OSError:  # the program has ended
            some = b""
        if not some:
            asyncio.get_running_loop().remove_reader(self._master)
        self.shown += some.decode(errors="replace")
        self._news.set()

    async def until(self, text: str) -> None:
        """Returns when it has shown the text."""
        try:
            async with asyncio.timeout(_SECONDS):
                while text not in self.shown:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.line}: no {text!r} in\n{self.shown}") from None

    def type(self, text: str) -> None:
        assert self._master is not None
        os.write(self._master, text.encode())

    async def end(self) -> None:
        """By Ctrl-C. Once it has ended there is nothing more to end."""
        if self.process.returncode is None:
            with suppress(OSError):  # it is ending by itself
                self.type("\x03")
            try:
                await asyncio.wait_for(self.process.wait(), _SECONDS)
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise AssertionError(f"{self.line}: does not end\n{self.shown}") from None
        if self._master is not None:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = None


class Newcomer:
    """`async with Newcomer(folder)`: at the top of the copy, with nothing started yet."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "stonechat"
        self.up: Terminal | None = None
        self._terminals: list[Terminal] = []
        mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
        self._environment = mine | {
            "HOME": str(folder),
            "PATH": f"{self.home}/.venv/bin:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.home}:{self.home}/sdk/python",
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
        }

    async def __aenter__(self) -> Self:
        shutil.copytree(ROOT, self.home, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for name in (".venv", ".tools"):
            if (ROOT / name).exists():
                (self.home / name).symlink_to(ROOT / name)
        for name in _MADE_FROM:  # so that `make` takes the environment as it is
            os.utime(self.home / name, (0, 0))
        # Says when it is apart; its input is the way to end it.
        self._machine = await asyncio.create_subprocess_exec(
            *(*_APART, "sh", "-c", "ip link set lo up && echo apart && exec cat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._machine.stdout is not None
        assert await self._machine.stdout.readline() == b"apart\n"
        self._shell = await asyncio.create_subprocess_exec(
            *self._inside("bash"),
            cwd=self.home,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            limit=2**24,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for terminal in reversed(self._terminals):  # what a failure left, and `make up` last
            await terminal.end()
        for process in (self._shell, self._machine):
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def follow(self, block: Block) -> str:
        """Types the lines of a block of commands; what they showed. Two chats talk to each other,
        a tail has to show something, and both are ended at the block's end."""
        assert block.language == "sh", block.place
        shown, waiting = "", ""
        open_: list[Terminal] = []
        for line in block.text.splitlines(keepends=True):
            if not _STAYS.match(line):
                waiting += line
                continue
            shown += await self.run(waiting)
            waiting = ""
            if not line.startswith("make up"):
                open_.append(await self.open(line.split("#")[0].strip()))
            elif self.up is None:
                self.up = await self.open(line.split("#")[0].strip())
                await self.up.until("ready. Try")
        shown += await self.run(waiting)
        await self._talk([each for each in open_ if " chat " in each.line])
        for each in open_:
            if " tail " in each.line:
                await each.until("\n")
                assert "stonechat:" not in each.shown, each.shown
            await each.end()
        return shown

    async def _talk(self, chats: list[Terminal]) -> None:
        for chat in chats:
            await chat.until("›")
        for number, chat in enumerate(chats):
            said = f"said by number {number}"
            chat.type(f"{said}\r")
            for other in chats:
                if other is not chat:
                    await other.until(said)

    async def run(self, commands: str) -> str:
        """In the one shell, whose variables stay; what was printed. Each command has to succeed."""
        if not commands.strip():
            return ""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        script = self.home.parent / "commands.sh"
        script.write_text(commands)
        self._shell.stdin.write(
            f"set -eo pipefail; . {script} </dev/null; echo; echo '+done'\n".encode()
        )
        printed = ""
        async with asyncio.timeout(_SECONDS):
            while (line := await self._shell.stdout.readline()) != b"+done\n":
                printed += line.decode()
                assert line, f"{commands}\n{printed}"
        return printed

    async def open(self, line: str) -> Terminal:
        """Runs a command in a terminal of its own."""
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, _SIZE)
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *self._inside("bash", "-c", f"exec {line}")),
            cwd=self.home,
            env=self._environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._terminals.append(Terminal(line, process, master))
        return self._terminals[-1]

    def _inside(self, *command: str) -> list[str]:
        machine = ["-t", str(self._machine.pid), "--user", "--net", "--preserve-credentials"]
        return ["nsenter", *machine, *command]
