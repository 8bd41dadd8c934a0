"""Programs of an SDK's user, as processes of their own."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from local.layout import ROOT


class Program:
    """A running program. `lines` reads what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.errors = ""

    async def line(self, seconds: float = 30) -> str:
        """The next whole line that it prints, empty at its end."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), seconds)
        return line.decode().rstrip("\n") if line.endswith(b"\n") else ""

    async def complaint(self, about: str, seconds: float = 30) -> None:
        """Waits for a line of its standard error with this in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(seconds):
            while about not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"it ended without a word about {about}: {self.errors}"
                self.errors += line
        self.errors += line

    async def ended(self, seconds: float = 30) -> int:
        """Its exit code, when it has ended by itself; `errors` has its standard error then."""
        _, errors = await asyncio.wait_for(self.process.communicate(), seconds)
        self.errors += errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ended()


@asynccontextmanager
async def running(
    file: Path, folder: Path, *arguments: str, **environment: str
) -> AsyncIterator[Program]:
    """Runs a Python file in a folder, with this library; it is killed at the end."""
    variables = os.environ | {"PYTHONPATH": str(ROOT / "sdk/python")} | environment
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(file), *arguments),
        cwd=folder,
        env=variables,
        stdout=pipe,
        stderr=pipe,
    )
    program = Program(process)
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def first_block(page: Path) -> str:
    """The first Python program on a page."""
    found = re.search(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]
