"""One part of the stack: a process with a health check and a log file."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local import journal, output, ports
from local.health import Check, LackingError

Tell = Callable[[str, str], None]  # (part's name, line)

_POLL = 0.03  # seconds between two health checks
_CHECK_SECONDS = 2.0

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class PartFailedError(RuntimeError):
    """A part did not start, or died. The message says which and why, in one line."""


class Part:
    """A process that can be started, stopped, killed and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        check: Check,
        alive: Check | None = None,
        used_ports: Sequence[int] = (),
        folder: Path | None = None,
        tell: Tell | None = None,
        patience: float = 30.0,
        grace: float = 15.0,
    ) -> None:
        """`check`: whether it is ready, for which a start waits; `alive`: whether it runs, which is
        enough where it starts again by itself (the same without it). `folder` is where it works;
        `tell` gets its lines, which are in its log in any case; `patience`: seconds to become
        healthy; `grace`: seconds to end after SIGTERM."""
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._check = check
        self._alive = alive or check
        self._ports = used_ports
        self._folder = folder
        self._tell = tell
        self._patience = patience
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said = ""  # last, which its log may have had no room for
        self._stopping = False
        self._settled = asyncio.Event()  # no other process is about to take its place
        self._settled.set()
        self._changing = asyncio.Lock()  # one start at a time, whoever asks for it

    @property
    def pid(self) -> int:
        """Raises `PartFailedError` where it was never started."""
        if self._process is None:
            raise PartFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def program(self) -> str:
        """The name of what it runs."""
        return Path(self._command[0]).name

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping

    async def start(self) -> None:
        """Starts the process and returns when it is ready. Raises `PartFailedError`."""
        async with self._changing:
            await self._start(self._check)

    async def revive(self) -> None:
        """As `start`, unless somebody else has started it or stopped it meanwhile, but returns
        when it is alive: what else it waits for may be about to start again, too."""
        async with self._changing:
            if not self.running and not self._stopping:
                await self._start(self._alive, again=True)

    async def _start(self, check: Check, *, again: bool = False) -> None:
        for port in self._ports:
            if not ports.is_free(port):
                raise PartFailedError(
                    f"{self.name} cannot start: port {port} is taken{ports.owner(port)}"
                )
        self._stopping = False
        try:
            output.rotate(self._log)
            self._said = ""
            self._process = await self._spawn()
            await self._until(check)
            if self._stopping:  # somebody stopped it before there was a process to end
                await self.kill()
        except OSError as error:
            raise PartFailedError(f"{self.name} cannot start: {error}") from None
        except BaseException:
            stopped = self._stopping  # by somebody else, while it started
            await self.kill()
            self._stopping = stopped or not again
            raise

    async def restart(self) -> None:
        """Another process in its place, for whoever waits for it too; returns when it is ready.
        Raises `PartFailedError`: it counts as dead then, or runs and lacks something."""
        async with self._changing:
            self._settled.clear()
            try:
                await self.stop()
                await self._start(self._alive)
            except PartFailedError:
                self._stopping = False
                raise
            finally:
                self._settled.set()
        await self._until(self._check)

    async def wait(self) -> None:
        """Returns when the part was stopped. Raises `PartFailedError` where it died."""
        ended = None
        while ended is not self._process:
            ended = self._process
            assert ended is not None
            code = await ended.wait()
            await self._settled.wait()
        if not self._stopping:
            raise PartFailedError(f"{self.name} died {await self._obituary(code)}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough. Returns when it is gone."""
        self._stopping = True
        if self._process is not None and self.running:
            self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._grace)
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL to it and all that it started. Returns when it is gone."""
        self._stopping = True
        if self._process is not None:
            self._kill_group()
            await self._process.wait()
            await self._all_read()

    def signal(self, number: int) -> None:
        """Sends a signal and does not wait, as if it came from elsewhere."""
        os.kill(self.pid, number)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=dict(self._environment),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._tell else log,
                stderr=asyncio.subprocess.STDOUT,
                # A session of its own: the terminal's Ctrl-C is for us to pass on.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        if self._tell:
            assert process.stdout is not None
            self._reader = asyncio.create_task(output.copy(process.stdout, self._log, self._heard))
        return process

    def _heard(self, line: str) -> None:
        self._said = line if line.strip() else self._said
        if self._tell is not None:
            self._tell(self.name, line)

    def _last_words(self) -> str:
        return journal.plain(self._said or output.last_line(self._log))

    async def _until(self, check: Check) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + self._patience
        lacks = ""
        while True:
            if self._process.returncode is not None:
                why = await self._obituary(self._process.returncode)
                raise PartFailedError(f"{self.name} did not start {why}")
            try:
                # `wait_for` would swallow a cancellation that comes when the check is done.
                async with asyncio.timeout(_CHECK_SECONDS):
                    if await check():
                        return
            except LackingError as error:
                lacks = str(error)
            except (OSError, TimeoutError, EOFError):
                pass
            if asyncio.get_running_loop().time() > deadline:
                why = lacks or self._last_words()
                raise PartFailedError(
                    f"{self.name} was not ready after {self._patience:.0f} s: {why}"
                )
            await asyncio.sleep(_POLL)

    async def _obituary(self, code: int) -> str:
        self._kill_group()  # what it started may still hold its output open
        await self._all_read()
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"({ended}): {self._last_words()}"

    def _kill_group(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _all_read(self) -> None:
        if self._reader is not None:
            await asyncio.shield(self._reader)


def die_with_parent() -> None:
    """For a child process: it gets SIGKILL when its parent dies, so that nothing outlives the
    stack. Linux only."""
    with suppress(AttributeError):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
