"""The functions behind the gateway front: one process each, kept alive.

A function that dies is started again, at once the first time and then with growing pauses. Its
annotations, as `stack.yml` has them, are what the connectors route by.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
import yaml

from connector.backoff import Backoff
from local import ports
from local.part import answers, die_with_parent

logger = structlog.get_logger(__name__)

_START_SECONDS = 20.0
_STOP_SECONDS = 12.0
_STABLE_SECONDS = 10.0  # a process that lived this long was no failed start


class StackFileError(ValueError):
    """`stack.yml` names a function that is not there. One line for people."""


@dataclass
class Replica:
    """One running process of a function."""

    pid: int
    port: int
    ended: asyncio.Future[int]

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
        """As the gateway's API shows it."""
        replicas = 1 if self.replica is not None else 0
        return {
            "name": self.name,
            "image": self.image,
            "namespace": "openfaas-fn",
            "envProcess": "",
            "replicas": 1,
            "availableReplicas": replicas,
            "invocationCount": self.invocations,
            "annotations": self.annotations,
            "labels": self.labels,
            "processes": [self.replica.pid] if self.replica is not None else [],
        }


def read_stack(file: Path) -> list[Deployment]:
    """The functions of a stack file. Raises `StackFileError`."""
    found = []
    for name, each in yaml.safe_load(file.read_text())["functions"].items():
        folder = (file.parent / each["handler"]).resolve()
        if not (folder / "handler.py").exists():
            raise StackFileError(f"function {name}: there is no handler.py in {folder}")
        found.append(
            Deployment(
                name,
                folder,
                each.get("image", name),
                {key: str(value) for key, value in each.get("annotations", {}).items()},
                {key: str(value) for key, value in each.get("labels", {}).items()},
                {key: str(value) for key, value in each.get("environment", {}).items()},
            )
        )
    return found


class Provider:
    """Starts, watches and stops the functions' processes."""

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._forked: dict[str, asyncio.Future[int]] = {}
        self._zygote: asyncio.subprocess.Process
        self._control: asyncio.StreamWriter
        self._listener: asyncio.Task[None]

    async def start(self) -> None:
        """Starts the process that the functions are forked from."""
        mine, theirs = socket.socketpair()
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
        reader, self._control = await asyncio.open_connection(sock=mine)
        await asyncio.wait_for(reader.readline(), _START_SECONDS)
        self._listener = asyncio.create_task(self._listen(reader))

    async def deploy(self, deployment: Deployment) -> None:
        """Starts a function and returns when it is healthy; it is kept running from then on.
        Raises `RuntimeError` where it does not start."""
        replica = await self._launch(deployment)
        deployment.replica = replica
        self.deployments[deployment.name] = deployment
        self._keepers[deployment.name] = asyncio.create_task(self._keep(deployment))

    async def stop(self) -> None:
        """Stops all functions, then the process they were forked from."""
        for keeper in self._keepers.values():
            keeper.cancel()
        replicas = [each.replica for each in self.deployments.values() if each.replica]
        await asyncio.gather(*(self._end(replica) for replica in replicas))
        self._control.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._zygote.wait(), 5)
        if self._zygote.returncode is None:
            self._zygote.kill()
        self._listener.cancel()

    async def _keep(self, deployment: Deployment) -> None:
        backoff, loop = Backoff(0.1, 5.0), asyncio.get_running_loop()
        while True:
            replica, since = deployment.replica, loop.time()
            if replica is not None:
                code = await asyncio.shield(replica.ended)
                deployment.replica = None
                logger.warning("function_died", function=deployment.name, code=code)
                if loop.time() - since > _STABLE_SECONDS:
                    backoff.reset()
            try:
                deployment.replica = await self._launch(deployment)
            except RuntimeError as error:
                logger.error("function_failed", function=deployment.name, error=str(error))
                await backoff.pause()

    async def _launch(self, deployment: Deployment) -> Replica:
        port = ports.free_port()
        pid = await self._fork(deployment, port)
        ended = self._ended.setdefault(pid, asyncio.get_running_loop().create_future())
        replica = Replica(pid, port, ended)
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not ended.done() and asyncio.get_running_loop().time() < deadline:
            with suppress(OSError):
                if await answers(port, "/_/health"):
                    logger.info("function_started", function=deployment.name, pid=pid)
                    return replica
            await asyncio.sleep(0.02)
        await self._end(replica)
        raise RuntimeError(f"function {deployment.name} did not start; its log says why")

    async def _fork(self, deployment: Deployment, port: int) -> int:
        name = f"{deployment.name}:{port}"
        forked = self._forked[name] = asyncio.get_running_loop().create_future()
        request: Mapping[str, Any] = {
            "name": name,
            "folder": str(deployment.folder),
            "port": port,
            "environment": deployment.environment,
        }
        self._control.write(orjson.dumps(request) + b"\n")
        return await asyncio.wait_for(forked, _START_SECONDS)

    async def _end(self, replica: Replica) -> None:
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                if not replica.ended.done():
                    os.kill(replica.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(replica.ended), patience)
                return

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            news = orjson.loads(line)
            if "code" in news:
                loop = asyncio.get_running_loop()
                ended = self._ended.setdefault(news["pid"], loop.create_future())
                if not ended.done():
                    ended.set_result(news["code"])
            else:
                self._forked.pop(news["name"]).set_result(news["pid"])
