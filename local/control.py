"""How a command reaches the stack that runs: by a socket in its folder, for its owner alone.

One line goes there, a word such as `connectors`; one comes back when it is done, empty or saying
why it could not be.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = "control"
_LINE = 200  # bytes of a word

Handler = Callable[[str], Awaitable[str]]


class ControlError(RuntimeError):
    """Nothing runs there, or it could not do it. One line for people."""


class Control:
    """The stack's end."""

    def __init__(self, folder: Path, handler: Handler) -> None:
        """`handler` does what a word says and returns why it could not, or nothing."""
        self._folder = folder
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._asked: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens. The folder is this stack's, so a socket that is left there is nobody's."""
        (self._folder / _NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with _address(self._folder) as address:
            listener.bind(address)
            os.chmod(address, 0o600)
        self._server = await asyncio.start_unix_server(self._answer, sock=listener, limit=_LINE)

    async def close(self) -> None:
        """What is asked and not done is given up."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self._folder / _NAME).unlink(missing_ok=True)
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._asked.add(task)
        try:
            word = (await reader.readline()).decode(errors="replace").strip()
            writer.write((await self._handler(word)).encode() + b"\n")
            with suppress(OSError):
                await writer.drain()
        except ValueError:
            pass  # a line without end
        finally:
            self._asked.discard(task)
            writer.close()


def ask(folder: Path, word: str) -> None:
    """Returns when the stack of this folder has done it. Raises `ControlError`."""
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            with _address(folder) as address:
                asked.connect(address)
            asked.sendall(word.encode() + b"\n")
            with asked.makefile("rb") as answers:
                answer = answers.readline()
        except OSError as error:
            raise ControlError(f"nothing runs in {folder}: {error.strerror}") from None
    if not answer:
        raise ControlError("it was stopped meanwhile")
    if answer.strip():
        raise ControlError(answer.decode(errors="replace").strip())


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's, short enough for the kernel wherever the folder is. Linux only."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_NAME}"
    finally:
        os.close(descriptor)
