"""Lines of standard input, whatever bytes it has."""

import asyncio
import errno
import locale
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Semaphore, Thread
from typing import BinaryIO

LINE_BYTES = 64 * 1024  # more than a server takes in one message
_AHEAD = 1000  # lines that are read and not taken yet
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Given:
    """One line that is not empty: its number from 1, and its text, or else why it has none."""

    number: int
    text: str
    fault: str = ""


async def lines() -> AsyncIterator[Given]:
    """As they come, until the input ends. Raises the `OSError` that ended it before. Read in a
    thread that does not keep the process alive, as nothing can interrupt its reading."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed", "standard input")
    # Not `sys.stdin` itself, whose lock the interpreter wants when it ends.
    source = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: ASYNC230, SIM115
    loop = asyncio.get_running_loop()
    ahead: asyncio.Queue[Given | OSError | None] = asyncio.Queue()
    room = Semaphore(_AHEAD)

    def read() -> None:
        def give(found: Given | OSError | None) -> None:
            room.acquire()
            loop.call_soon_threadsafe(ahead.put_nowait, found)

        with suppress(RuntimeError):  # the loop ended first
            try:
                number = 0
                while line := source.readline(LINE_BYTES + 2):
                    number += 1
                    found = _given(number, line, source)
                    if found.text or found.fault:
                        give(found)
                give(None)
            except OSError as error:
                give(error)

    Thread(target=read, daemon=True).start()
    while (found := await ahead.get()) is not None:
        if isinstance(found, OSError):
            raise OSError(found.errno, found.strerror, "standard input")
        room.release()
        yield found


def decoded(line: bytes) -> str | None:
    """UTF-8, or what the locale says; None where it is neither."""
    for encoding in ("utf-8", locale.getencoding()):
        with suppress(UnicodeDecodeError, LookupError):
            return line.decode(encoding)
    return None


def _given(number: int, line: bytes, source: BinaryIO) -> Given:
    whole = line.rstrip(b"\r\n")
    if len(whole) > LINE_BYTES:
        while line and not line.endswith(b"\n"):
            line = source.readline(LINE_BYTES)
        return Given(number, "", f"longer than {LINE_BYTES} bytes")
    text = decoded(whole.removeprefix(_MARK) if number == 1 else whole)
    return Given(number, "", "not UTF-8") if text is None else Given(number, text)
