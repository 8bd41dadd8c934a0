"""The functions behind the gateway front: one process each, kept alive.

A function that dies is started again, at once where it had lived for a while and else with growing
pauses. Its annotations, as `stack.yml` has them, are what the connectors route by.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
import yaml

from connector.backoff import Backoff
from local import health, output, ports
from local.part import die_with_parent

logger = structlog.get_logger(__name__)

_START_SECONDS = 20.0
_STOP_SECONDS = 12.0  # above the template's own limit
_STABLE_SECONDS = 10.0  # a process that lived this long was no failed start
_BACKLOG = 1024


class StackFileError(ValueError):
    """The stack file cannot be used. One line for people."""


class FunctionFailedError(RuntimeError):
    """A function did not start. One line for people."""


@dataclass
class Replica:
    """One running process of a function. `printed` is done when all its output is read."""

    pid: int
    port: int
    ended: asyncio.Future[int]
    printed: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"


@dataclass
class Deployment:
    """A function as it was deployed."""

    name: str
    folder: Path
    image: str
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    replica: Replica | None = None
    invocations: int = 0

    def described(self) -> dict[str, Any]:
        """As the gateway's API shows it; `processes` is our own."""
        return {
            "name": self.name,
            "image": self.image,
            "namespace": "openfaas-fn",
            "envProcess": "",
            "replicas": 1,
            "availableReplicas": 0 if self.replica is None else 1,
            "invocationCount": self.invocations,
            "annotations": self.annotations,
            "labels": self.labels,
            "processes": [] if self.replica is None else [self.replica.pid],
        }


def read_stack(file: Path) -> list[Deployment]:
    """The functions of a stack file. Raises `StackFileError`."""
    try:
        functions = yaml.safe_load(file.read_text())["functions"]
        return [_deployment(name, file.parent, each) for name, each in functions.items()]
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise StackFileError(f"{file.name} cannot be used: {told}") from None


def _deployment(name: str, root: Path, each: dict[str, Any]) -> Deployment:
    folder = (root / each["handler"]).resolve()
    if not (folder / "handler.py").exists():
        raise StackFileError(f"function {name}: there is no handler.py in {folder}")

    def texts(key: str) -> dict[str, str]:
        return {name: str(value) for name, value in (each.get(key) or {}).items()}

    image = each.get("image", name)
    return Deployment(
        name, folder, image, texts("annotations"), texts("labels"), texts("environment")
    )


class Provider:
    """Starts, watches and stops the functions' processes."""

    def __init__(self, logs: Path, tell: Callable[[str, str], None]) -> None:
        """What function NAME prints goes to `logs/NAME.log`, and by line to `tell(NAME, line)`."""
        self.deployments: dict[str, Deployment] = {}
        self._logs = logs
        self._tell = tell
        self._numbers = itertools.count()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        # By the request's number: the process id, and what will be its exit code.
        self._forked: dict[int, asyncio.Future[tuple[int, asyncio.Future[int]]]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}  # by process id
        self._zygote: asyncio.subprocess.Process
        self._control: socket.socket
        self._listener: asyncio.Task[None]

    async def start(self) -> None:
        """Starts the process that the functions are forked from. Raises `FunctionFailedError`."""
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
        async with asyncio.timeout(_START_SECONDS):
            if not await loop.sock_recv(self._control, 4096):
                raise FunctionFailedError(
                    "the process that functions are forked from did not start"
                )
        self._listener = asyncio.create_task(self._listen())

    async def lost(self) -> None:
        """Returns when no function can be started any more, which is not repaired here."""
        await asyncio.wait([self._listener])

    async def deploy(self, deployment: Deployment) -> None:
        """Starts a function and returns when it is healthy; it is kept running from then on.
        Raises `FunctionFailedError`."""
        deployment.replica = await self._launch(deployment)
        self.deployments[deployment.name] = deployment
        self._keepers[deployment.name] = asyncio.create_task(self._keep(deployment))

    async def stop(self) -> None:
        """Stops all functions, then the process they were forked from."""
        for keeper in self._keepers.values():
            keeper.cancel()
        replicas = [each.replica for each in self.deployments.values() if each.replica]
        await asyncio.gather(*(self._end(replica) for replica in replicas))
        self._listener.cancel()
        self._control.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._zygote.wait(), 5)
        if self._zygote.returncode is None:
            self._zygote.kill()

    async def _keep(self, deployment: Deployment) -> None:
        backoff, loop = Backoff(0.1, 5.0), asyncio.get_running_loop()
        while True:
            if deployment.replica is not None:
                since = loop.time()
                code = await asyncio.shield(deployment.replica.ended)
                deployment.replica = None
                logger.warning("function_died", function=deployment.name, code=code)
                if loop.time() - since > _STABLE_SECONDS:
                    backoff.reset()
                else:
                    await backoff.pause()
            try:
                deployment.replica = await self._launch(deployment)
            except (FunctionFailedError, OSError, TimeoutError) as error:
                logger.error("function_failed", function=deployment.name, error=str(error))
                await backoff.pause()

    async def _launch(self, deployment: Deployment) -> Replica:
        # Bound here and handed over: no other process can take the port in between.
        listener = socket.create_server((ports.LOOPBACK, 0), backlog=_BACKLOG)
        with listener:
            port = listener.getsockname()[1]
            replica = await self._fork(deployment, listener, port)
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not replica.ended.done() and asyncio.get_running_loop().time() < deadline:
            with suppress(OSError, EOFError, TimeoutError):
                if await asyncio.wait_for(health.http(port, "/_/health"), _START_SECONDS):
                    logger.info("function_started", function=deployment.name, pid=replica.pid)
                    return replica
            await asyncio.sleep(0.02)
        await self._end(replica)
        said = output.last_line(self._log(deployment))
        raise FunctionFailedError(f"function {deployment.name} did not start: {said}")

    async def _fork(self, deployment: Deployment, listener: socket.socket, port: int) -> Replica:
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        request = {
            "id": number,
            "folder": str(deployment.folder),
            "environment": deployment.environment,
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
        copied = asyncio.create_task(self._copy(deployment, reader))
        pid, ended = await asyncio.wait_for(forked, _START_SECONDS)
        return Replica(pid, port, ended, copied)

    async def _copy(self, deployment: Deployment, reader: asyncio.StreamReader) -> None:
        log, name = self._log(deployment), deployment.name
        output.rotate(log)
        await output.copy(reader, log, lambda line: self._tell(name, line))

    def _log(self, deployment: Deployment) -> Path:
        return self._logs / f"{deployment.name}.log"

    async def _end(self, replica: Replica) -> None:
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            if not replica.ended.done():
                with suppress(ProcessLookupError):
                    os.kill(replica.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(replica.ended), patience)
                break
        await asyncio.wait([replica.printed], timeout=1)

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
