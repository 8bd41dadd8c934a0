"""One part of the stack: a process with a health check and a log file."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local import ports

Check = Callable[[], Awaitable[bool]]
Tell = Callable[[str, str], None]  # (part's name, line)

_PR_SET_PDEATHSIG = 1
_POLL = 0.03  # seconds between two health checks
_LINE_LIMIT = 1 << 20


class PartFailedError(RuntimeError):
    """A part did not start, or died. The message says which and why, in one line."""


class Part:
    """A process. `tell` gets its lines where it has something to say to people."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        check: Check,
        used_ports: Sequence[int] = (),
        tell: Tell | None = None,
        patience: float = 30.0,
        grace: float = 15.0,
    ) -> None:
        """`patience`: seconds to become healthy; `grace`: seconds to end after SIGTERM."""
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._check = check
        self._ports = used_ports
        self._tell = tell
        self._patience = patience
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Raises `PartFailedError` where it does not run."""
        if self._process is None:
            raise PartFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts the process and returns when it is healthy. Raises `PartFailedError`."""
        for port in self._ports:
            if not ports.is_free(port):
                raise PartFailedError(
                    f"{self.name} cannot start: port {port} is taken{ports.owner(port)}"
                )
        self._stopping = False
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=dict(self._environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._tell else log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
                limit=_LINE_LIMIT,
            )
        if self._tell:
            self._reader = asyncio.create_task(self._read())
        try:
            await self._until_healthy()
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> None:
        """Returns when the process was stopped. Raises `PartFailedError` where it died."""
        assert self._process is not None
        code = await self._process.wait()
        if not self._stopping:
            raise PartFailedError(f"{self.name} died ({_ended(code)}): {self._last_line()}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough. Returns when it is gone."""
        self._stopping = True
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._grace)
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL, to the whole process group. Returns when it is gone."""
        self._stopping = True
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._reader is not None:
            await self._reader
            self._reader = None

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def _until_healthy(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            if self._process.returncode is not None:
                ended = _ended(self._process.returncode)
                raise PartFailedError(f"{self.name} did not start ({ended}): {self._last_line()}")
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                if await asyncio.wait_for(self._check(), 2):
                    return
            if asyncio.get_running_loop().time() > deadline:
                raise PartFailedError(
                    f"{self.name} was not ready in {self._patience:.0f} s: {self._last_line()}"
                )
            await asyncio.sleep(_POLL)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log.open("ab", buffering=0) as log:
            while line := await self._process.stdout.readline():
                log.write(line)
                if self._tell:
                    self._tell(self.name, line.decode(errors="replace").rstrip())

    def _last_line(self) -> str:
        with suppress(OSError):
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
            if lines:
                return lines[-1][:500]
        return "it said nothing"


def _ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def die_with_parent() -> None:
    """The child gets SIGKILL when this process dies, so that nothing outlives the stack."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def listens(port: int) -> bool:
    """A health check: somebody takes connections on the port."""
    _, writer = await asyncio.open_connection(ports.LOOPBACK, port)
    writer.close()
    return True


async def answers(port: int, path: str, status: bytes = b"200") -> bool:
    """A health check: an HTTP GET of the path has this status."""
    reader, writer = await asyncio.open_connection(ports.LOOPBACK, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split(b" ")[1:2] == [status]
    finally:
        writer.close()
