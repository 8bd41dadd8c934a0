"""The documentation's commands, run as who follows it would, in a copy of the repository."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from local.layout import ROOT

PAGE = ROOT / "docs" / "writing-a-function.md"
_BLOCK = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
_FILE = re.compile(r"`(poll/\w+\.py)`")


class Shell:
    """Somebody at a terminal, at the top of a copy of the repository."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        """`environment` says where the system is that `make up` would have started."""
        self.home = home
        self._environment = environment
        for name in ("template", "shared", "functions", "local", "connector", ".venv"):
            if not (home / name).exists():
                (home / name).symlink_to(ROOT / name)

    async def run(self, line: str) -> str:
        """What it prints. It has to succeed."""
        process = await asyncio.create_subprocess_shell(
            line,
            cwd=self.home,
            env=dict(self._environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            executable="/bin/bash",
        )
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        printed = out.decode()
        assert process.returncode == 0, f"{line}\n{printed}"
        return printed


def commands(page: str, heading: str) -> list[str]:
    """The blocks of commands below a heading of a page in docs, up to the next heading."""
    text = (ROOT / "docs" / page).read_text()
    part = re.split(r"^#+ ", text.split(f"# {heading}\n")[1], maxsplit=1, flags=re.M)[0]
    return re.findall(r"^```sh\n(.*?)^```", part, flags=re.M | re.DOTALL)


class Walk:
    """Somebody who follows docs/writing-a-function.md word by word: its files are written, its
    commands are run."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.printed = ""
        self._environment = environment
        self._shell = Shell(home, environment)
        shutil.copy(ROOT / "stack.yml", home)
        part = PAGE.read_text().split("## Ten minutes")[1].split("### Without faas-cli")
        self._steps = [found.groupdict() for found in _BLOCK.finditer(part[0])]
        self._without = _BLOCK.findall(part[1])[0][2]

    async def go(self, *, faas: bool) -> list[str]:
        """What the last command printed, line by line."""
        for step in self._steps:
            match step["kind"]:
                case "python":
                    self._write(step)
                case "yaml":
                    stack = self.home / "stack.yml"
                    stack.write_text(stack.read_text().split("  poll:\n")[0] + step["text"])
                case "sh":
                    await self._commands(step["text"], faas=faas)
        return self.printed.splitlines()

    def _write(self, step: Mapping[str, str]) -> None:
        (name,) = _FILE.findall(step["before"])
        (self.home / name).write_text(step["text"])

    async def _commands(self, text: str, *, faas: bool) -> None:
        for line in text.splitlines():
            if line == "make up" or line.startswith("export "):
                continue
            if not faas and line.startswith("faas-cli"):
                await self._instead(line)
                continue
            if not self.printed and "THE-ID" in line:
                raise AssertionError("no command printed the id")
            ran = await self._shell.run(line.replace("THE-ID", getattr(self, "_id", "")))
            if "groups create" in line:
                self._id = ran.splitlines()[-1].split()[-1]
            self.printed = ran

    async def _instead(self, line: str) -> None:
        """What the page says for those without faas-cli."""
        if line.startswith("faas-cli new"):
            shutil.copytree(ROOT / "template" / "stonechat" / "function", self.home / "poll")
        elif line.startswith("faas-cli up"):
            await self._shell.run(self._without.strip() + self._environment["DEPLOY_OPTIONS"])
