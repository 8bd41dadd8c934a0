"""The processes that functions run in: forked from one that has the libraries loaded (`zygote`), or
below OpenFaaS' own of-watchdog, which starts the template's `index.py` as it does in a container.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from local import output, ports
from local.deployment import Packed
from local.layout import ROOT
from local.part import die_with_parent

START_SECONDS = 20.0
_STOP_SECONDS = 12.0  # above the template's own limit
_BACKLOG = 1024

Tell = Callable[[str], None]


class FunctionFailedError(RuntimeError):
    """A function did not start. One line for people."""

    plain = True


@dataclass
class Process:
    """One running process. `printed` is done when all its output is read; `check` is the path that
    is answered 200 once it can be called."""

    pid: int
    port: int
    ended: asyncio.Future[int]
    printed: asyncio.Task[None]
    check: str = "/_/health"

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"

    async def end(self) -> None:
        """Stops it by SIGTERM, and by SIGKILL where that takes too long."""
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            if not self.ended.done():
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.ended), patience)
                break
        await asyncio.wait([self.printed], timeout=1)


class Forks:
    """Processes that share the memory of what they have in common, and start in milliseconds."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        # By the request's number: the process id, and what will be its exit code.
        self._forked: dict[int, asyncio.Future[tuple[int, asyncio.Future[int]]]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}  # by process id
        self._zygote: asyncio.subprocess.Process
        self._control: socket.socket
        self._listener: asyncio.Task[None]

    async def open(self) -> None:
        """Starts the process that the others are forked from. Raises `FunctionFailedError`."""
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            self._zygote = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "local.zygote",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(START_SECONDS):
            if not await loop.sock_recv(self._control, 4096):
                raise FunctionFailedError(
                    "the process that functions are forked from did not start"
                )
        self._listener = asyncio.create_task(self._listen())

    async def lost(self) -> None:
        """Returns when no process can be forked any more, which is not repaired here."""
        await asyncio.wait([self._listener])

    async def close(self) -> None:
        """Ends it; its children have ended before."""
        self._listener.cancel()
        self._control.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._zygote.wait(), 5)
        if self._zygote.returncode is None:
            self._zygote.kill()

    async def start(
        self, packed: Packed, environment: Mapping[str, str], log: Path, tell: Tell
    ) -> Process:
        """A process that is being started. What it prints goes to the log and to `tell`."""
        # Bound here and handed over: no other process can take the port in between.
        with socket.create_server((ports.LOOPBACK, 0), backlog=_BACKLOG) as listener:
            return await self._fork(packed, environment, listener, log, tell)

    async def _fork(
        self,
        packed: Packed,
        environment: Mapping[str, str],
        listener: socket.socket,
        log: Path,
        tell: Tell,
    ) -> Process:
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        request = {
            "id": number,
            "folder": str(packed.folder),
            "packages": str(packed.packages) if packed.packages else None,
            "environment": dict(environment),
        }
        forked = self._forked[number] = loop.create_future()
        printed, out = os.pipe()
        try:
            line = orjson.dumps(request) + b"\n"
            socket.send_fds(self._control, [line], [listener.fileno(), out])
        finally:
            os.close(out)
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(printed, "rb", buffering=0)
        )
        copied = asyncio.create_task(output.copy(reader, log, tell))
        async with asyncio.timeout(START_SECONDS):
            pid, ended = await forked
        return Process(pid, listener.getsockname()[1], ended, copied)

    async def _listen(self) -> None:
        loop, text = asyncio.get_running_loop(), b""
        while chunk := await loop.sock_recv(self._control, 65536):
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                news = orjson.loads(line)
                if "code" in news:
                    self._ended.pop(news["pid"]).set_result(news["code"])
                else:
                    ended = self._ended[news["pid"]] = loop.create_future()
                    forked = self._forked.pop(news["id"])
                    if not forked.done():
                        forked.set_result((news["pid"], ended))


class Watchdogs:
    """Processes below of-watchdog, each from its build context as an image would have it. A
    watchdog has a fixed port of its own besides, so there can be one at a time on a machine."""

    def __init__(self, program: Path, temporary: Path) -> None:
        self._program = program
        self._temporary = temporary

    async def start(
        self, packed: Packed, environment: Mapping[str, str], log: Path, tell: Tell
    ) -> Process:
        """A watchdog that is being started, and with it the function."""
        port, upstream = ports.free_port(), ports.free_port()
        self._temporary.mkdir(parents=True, exist_ok=True)
        own = {
            "port": str(port),
            "mode": "http",
            "fprocess": f"{sys.executable} {_index(packed.folder.parent)}",
            "upstream_url": f"http://{ports.LOOPBACK}:{upstream}",
            "healthcheck_interval": "1ms",
            "exec_timeout": "60s",
            "write_timeout": "60s",
            "read_timeout": "60s",
            "ready_path": "/_/ready",
            "TMPDIR": str(self._temporary),  # where it has the file that says it is healthy
            "PORT": str(upstream),
            "STONECHAT_FUNCTION_HOST": ports.LOOPBACK,
            "FUNCTION_DIR": str(packed.folder),
        }
        # A context of faas-cli brings `shared` along, beside the handler.
        brought = (packed.folder / "shared").is_dir()
        paths = [str(packed.folder if brought else ROOT)]
        paths += [str(packed.packages)] if packed.packages else []
        process = await asyncio.create_subprocess_exec(
            str(self._program),
            env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)} | dict(environment) | own,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        assert process.stdout is not None
        copied = asyncio.create_task(output.copy(process.stdout, log, tell))
        # A watchdog says that it is healthy before there is a function below it.
        ended = asyncio.ensure_future(process.wait())
        return Process(process.pid, port, ended, copied, check="/_/ready")


def _index(context: Path) -> Path:
    own = context / "index.py"
    return own if own.is_file() else ROOT / "template" / "stonechat" / "index.py"
