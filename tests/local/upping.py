"""`python -m local up` as its user sees it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from local.layout import ROOT


def clean_environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """A user's environment: nothing of ours, nor of the settings of who runs the tests."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    config = tmp_path / "stonechat.env"
    config.write_text("")
    return mine | {"STONECHAT_ENV_FILE": str(config), "PYTHONPATH": str(ROOT)} | more


class Up:
    """A stack that is started by the command line."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *arguments: str,
        home: Path = ROOT,
        before: Sequence[str] = (),
    ) -> None:
        """`before` is a command that runs the command."""
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "local", "up", *arguments],
            cwd=home,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    @property
    def shown(self) -> str:
        return "".join(self.lines)

    def until(self, text: str) -> str:
        """The first line with the text, of those that nobody has asked for before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        pytest.fail(f"no line with {text!r} in:\n{self.shown}")

    async def says(self, text: str, seconds: float = 60) -> str:
        """The same, while other things go on."""
        return await asyncio.wait_for(asyncio.to_thread(self.until, text), seconds)

    def end(self) -> int:
        """What it said last is read, and its exit code."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return self.process.wait(60)

    def pid(self, *words: str) -> int:
        """The process of a part, by words of its command line."""
        (found,) = [
            int(pid)
            for pid in children(self.process.pid)
            if all(word in command(pid) for word in words)
        ]
        return found


def children(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def command(pid: int | str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
