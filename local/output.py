"""What a process prints: to its log file as it is, and line by line to whoever shows it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_LINE_LIMIT = 64 * 1024  # a longer line is told in pieces
_FILE_LIMIT = 16 * 1024 * 1024


def rotate(log: Path) -> None:
    """Sets a long log aside as `NAME.log.1`, and makes its folder."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > _FILE_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def last_line(log: Path) -> str:
    """The last line that says something, and one saying so where there is none."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LINE_LIMIT))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return "it said nothing"


async def copy(source: asyncio.StreamReader, log: Path, tell: Callable[[str], None]) -> None:
    """Returns when the process closed its output."""
    with log.open("ab", buffering=0) as file:
        rest = b""
        while chunk := await source.read(_LINE_LIMIT):
            file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_LIMIT:
                lines, rest = [*lines, rest], b""
            for line in lines:
                tell(line.decode(errors="replace").rstrip())
        if rest:
            tell(rest.decode(errors="replace"))
