"""What a process prints: to its log file as it is, and line by line to whoever shows it.

Who prints is never held up by its log: what a full disk does not take is counted, and a line says
so when there is room again.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import orjson

_LINE_LIMIT = 64 * 1024  # a longer line is told in pieces
_FILE_LIMIT = 16 * 1024 * 1024


def rotate(log: Path) -> None:
    """Sets a long log aside as `NAME.log.1`, and makes its folder. Raises `OSError`."""
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


class Log:
    """A log file that takes what it can, and never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._lost = 0  # bytes since the last that were written
        self._broken = False  # the file ends inside of a line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def write(self, chunk: bytes) -> None:
        """Appends it, or what there is room for."""
        if self._lost:
            notice = {"event": "log_lost", "level": "warning", "bytes": self._lost}
            line = b"\n" * self._broken + orjson.dumps(notice) + b"\n"
            written = self._append(line)
            if written < len(line):
                self._broken = self._broken or written > 0
                self._lost += len(chunk)
                return
            self._lost, self._broken = 0, False
        written = self._append(chunk)
        self._lost = len(chunk) - written
        if written:
            self._broken = chunk[written - 1 : written] != b"\n"

    def _append(self, data: bytes) -> int:
        """How many bytes were written."""
        written = 0
        with suppress(OSError):
            if self._file < 0:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._file = os.open(self._path, flags, 0o644)
            while written < len(data):
                written += os.write(self._file, data[written:])
        return written


async def copy(source: asyncio.StreamReader, log: Path, tell: Callable[[str], None]) -> None:
    """Returns when the process closed its output."""
    with Log(log) as file:
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
