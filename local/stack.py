"""The stack: all parts of one layout, started in order and stopped in reverse."""

import asyncio
import fcntl
import functools
import os
import sys
from typing import Self

import httpx

from local import health, journal
from local.control import Control
from local.deployment import read_stack
from local.layout import Layout
from local.part import Part, PartFailedError, Tell
from local.stores import stores
from shared import secretfiles

_OPERATOR_SECONDS = 120.0
_READY_SECONDS = 30.0
_READY_APART = 0.2  # seconds between two looks
_OF_PROCESSES = frozenset({"STONECHAT_ENV_FILE", "STONECHAT_CONNECTOR_PORT", "STONECHAT_FUNCTION"})


class Stack:
    """`async with Stack(layout) as stack:` has everything running and healthy inside."""

    def __init__(self, layout: Layout, tell: Tell | None = None) -> None:
        """`tell` gets the log lines of our own parts, the stores' errors and what is done here;
        without it they are only in the layout's folder."""
        self.layout = layout
        self._tell = tell
        self._starting = False
        self._lock: int | None = None
        self._started: list[Part] = []
        self._control = Control(layout.directory, self._asked)
        self.stores = {part.name: part for part in stores(layout, tell)}
        self._hear = None if tell is None else functools.partial(self._pass_on, tell)
        self.gateway = self._gateway(layout.gateway_port)
        self.connectors = [
            self._connector(number, port) for number, port in enumerate(layout.connector_ports, 1)
        ]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    @property
    def parts(self) -> dict[str, Part]:
        """All parts by name, in the order they start."""
        gateway = [] if self.gateway is None else [self.gateway]
        return self.stores | {part.name: part for part in [*gateway, *self.connectors]}

    def part(self, name: str) -> Part:
        """`valkey`, `mongo`, `s3`, `gateway`, `connector-1` and so on. Raises `KeyError`."""
        return self.parts[name]

    async def function_pids(self, name: str) -> list[int]:
        """The processes that run a function at this moment."""
        async with self._operator() as http:
            answer = await http.get(f"/system/function/{name}")
        found: list[int] = answer.raise_for_status().json()["processes"]
        return found

    async def restart_functions(self) -> None:
        """New processes take the calls, then the old ones end. Raises `PartFailedError`."""
        if self.gateway is None:
            raise PartFailedError("no function is started here")
        async with self._operator() as http:
            answer = await http.post("/system/restart")
        if answer.status_code != 202:
            raise PartFailedError(f"functions do not start: {answer.text.strip()}")

    async def restart_connectors(self) -> None:
        """One after another: each answers what it accepted and sends its clients elsewhere. Raises
        `PartFailedError`."""
        for part in self.connectors:
            await part.restart()

    async def start(self) -> None:
        """Returns when all is healthy. Raises `PartFailedError`, with nothing left running."""
        await self.start_stores()
        await self.start_rest()

    async def start_stores(self) -> None:
        """The stores alone."""
        self.layout.directory.mkdir(parents=True, exist_ok=True)
        self._claim()
        secretfiles.create_missing(self.layout.secrets)
        self._write_settings()
        await self._start("stores", *self.stores.values())

    async def start_rest(self) -> None:
        """What needs the stores."""
        if self.gateway is not None:
            await self._start("functions", self.gateway)
        await self._start("connectors", *self.connectors)
        await self._until_ready()
        await self._control.open()

    async def failed(self) -> str:
        """Returns when a part died: which, and why, in one line."""
        waits = [asyncio.create_task(part.wait()) for part in self._started]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
            return next((str(task.exception()) for task in done if task.exception()), "stopped")
        finally:
            for task in waits:
                task.cancel()

    async def stop(self) -> None:
        """Stops what runs: connectors first, so that they can answer what they accepted."""
        await self._control.close()
        await asyncio.gather(*(part.stop() for part in self.connectors))
        if self.gateway is not None:
            await self.gateway.stop()
        await asyncio.gather(*(part.stop() for part in self.stores.values()))
        self._started.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def kill(self) -> None:
        """Ends everything at once."""
        await asyncio.gather(*(part.kill() for part in self.parts.values()))

    async def _asked(self, word: str) -> str:
        try:
            match word:
                case "functions":
                    await self.restart_functions()
                case "connectors":
                    await self.restart_connectors()
                case _:
                    return f"nobody knows how to restart {word!r}"
        except (PartFailedError, httpx.HTTPError, secretfiles.SecretMissingError) as error:
            return str(error) or type(error).__name__
        if self._tell is not None:
            self._tell("local", f"{word} restarted")
        return ""

    def _operator(self) -> httpx.AsyncClient:
        user, password = (
            secretfiles.read(self.layout.secrets, secret)
            for secret in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
        )
        return httpx.AsyncClient(
            base_url=self.layout.gateway_url, auth=(user, password), timeout=_OPERATOR_SECONDS
        )

    def _claim(self) -> None:
        """The layout's folder is ours until `stop`, or until this process ends."""
        lock = os.open(self.layout.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PartFailedError(f"another stack runs in {self.layout.directory}") from None
        self._lock = lock

    def _write_settings(self) -> None:
        """Its owner's alone: an address may carry a password."""
        given = self.layout.child_environment()
        quoted = {name: given[name].replace("\\", "\\\\").replace("'", "\\'") for name in given}
        lines = [
            f"{name}='{quoted[name]}'"
            for name in sorted(given)
            if name.startswith("STONECHAT_") and name not in _OF_PROCESSES
        ]
        secretfiles.write(self.layout.directory, self.layout.settings_file.name, "\n".join(lines))

    async def _until_ready(self) -> None:
        """Returns when the functions of the stack file have what they need. Raises
        `PartFailedError` where one has not for too long."""
        if self.gateway is None:
            return
        waiting = [each.deployment.name for each in read_stack(self.layout.stack_file)]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_SECONDS
        async with self._operator() as http:
            while waiting:
                answers = await asyncio.gather(
                    *(http.get(f"/function/{name}/_/ready") for name in waiting)
                )
                told = {
                    name: answer.text.strip()
                    for name, answer in zip(waiting, answers, strict=True)
                    if answer.status_code != 200
                }
                waiting = list(told)
                if waiting and loop.time() > deadline:
                    await self.stop()
                    raise PartFailedError(f"function {waiting[0]}: {told[waiting[0]]}")
                if waiting:
                    await asyncio.sleep(_READY_APART)

    async def _start(self, stage: str, *parts: Part) -> None:
        """Starts them side by side, and says so in one line."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._started += parts
        starts = [asyncio.create_task(part.start()) for part in parts]
        self._starting = True
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise
        finally:
            self._starting = False
        if self._tell is not None and parts:
            names = ", ".join(part.name for part in parts)
            self._tell("local", f"{stage} ready after {loop.time() - began:.1f} s ({names})")

    def _pass_on(self, tell: Tell, part: str, line: str) -> None:
        """Tells what a part says; while it starts, only what is not as it should be."""
        if not (self._starting and journal.is_routine(line)):
            tell(part, line)

    def _gateway(self, port: int | None) -> Part | None:
        if port is None:
            return None
        command = [sys.executable, "-m", "local.gateway", "--port", str(port)]
        command += ["--stack", str(self.layout.stack_file)]
        command += ["--directory", str(self.layout.directory)]
        command += ["--contexts", str(self.layout.contexts)]
        return Part(
            "gateway",
            command,
            environment=self.layout.child_environment(),
            log=self.layout.logs / "gateway.log",
            check=functools.partial(health.http, port, "/healthz"),
            used_ports=[port],
            tell=self._hear,
            grace=30.0,
        )

    def _connector(self, number: int, port: int) -> Part:
        environment = self.layout.child_environment() | {"STONECHAT_CONNECTOR_PORT": str(port)}
        return Part(
            f"connector-{number}",
            [sys.executable, "-m", "connector"],
            environment=environment,
            log=self.layout.logs / f"connector-{number}.log",
            check=functools.partial(health.http, port, "/readyz"),
            used_ports=[port],
            tell=self._hear,
            grace=20.0,
        )
