"""The stack: all parts of one layout, started in order and stopped in reverse."""

import asyncio
import functools
import sys
from typing import Self

import httpx

from local import health, journal, readiness
from local.control import Control
from local.deployment import StackFileError, read_stack
from local.folder import Claim, FolderError, Running
from local.keeper import Keeper
from local.layout import Layout
from local.part import Part, PartFailedError, Tell
from local.room import MEGABYTES, Room
from local.stores import stores
from shared import secretfiles

_OPERATOR_SECONDS = 120.0


class Stack:
    """`async with Stack(layout) as stack:` has everything running and healthy inside."""

    def __init__(
        self,
        layout: Layout,
        tell: Tell | None = None,
        *,
        keep: bool = False,
        room: int = MEGABYTES,
    ) -> None:
        """`tell` gets the log lines of our own parts, the stores' errors and what is done here;
        without it they are only in the layout's folder. With `keep` a part that dies is started
        again, and the stores write nothing while fewer than `room` MB are free."""
        self.layout = layout
        self._tell = tell
        self._starting = False
        self._claimed: Claim | None = None
        self._keep = keep
        self._keepers: list[asyncio.Task[None]] = []
        self._given_up = asyncio.Event()
        self._why = ""
        self._control = Control(layout.directory, self._asked)
        self.stores = {part.name: part for part in stores(layout, tell)}
        self._hear = None if tell is None else functools.partial(self._pass_on, tell)
        self._room = self._of_stores(room)
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
        try:
            self._claimed = Claim(self.layout.directory)
            secretfiles.create_missing(self.layout.secrets)
            self.layout.write_settings()
        except FolderError as error:
            raise PartFailedError(str(error)) from None
        except OSError as error:
            await self.stop()
            raise PartFailedError(f"cannot write secrets and settings: {error}") from None
        await self._start("stores", *self.stores.values())
        if self._keep and self.stores:
            self._keepers.append(asyncio.create_task(self._room.watch()))

    async def start_rest(self) -> None:
        """What needs the stores."""
        if self.gateway is not None:
            await self._start("functions", self.gateway)
        await self._start("connectors", *self.connectors)
        try:
            await self._functions_ready()
            await self._control.open()
            if self._claimed is not None:
                where = self.layout
                self._claimed.tell(Running(where.gateway_url, where.door_urls, str(where.secrets)))
        except BaseException as error:
            await self.stop()
            if isinstance(error, FolderError | StackFileError | OSError):
                raise PartFailedError(str(error)) from None
            raise

    async def failed(self) -> str:
        """Returns when a part died so often that it is given up: which, and why, in one line."""
        await self._given_up.wait()
        return self._why

    async def stop(self) -> None:
        """Stops what runs: connectors first, so that they can answer what they accepted."""
        await self._control.close()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        await asyncio.gather(*(part.stop() for part in self.connectors))
        if self.gateway is not None:
            await self.gateway.stop()
        await asyncio.gather(*(part.stop() for part in self.stores.values()))
        if self._claimed is not None:
            self._claimed.release()
            self._claimed = None

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
        self._say(f"{word} restarted")
        return ""

    def _operator(self) -> httpx.AsyncClient:
        user, password = (
            secretfiles.read(self.layout.secrets, secret)
            for secret in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
        )
        return httpx.AsyncClient(
            base_url=self.layout.gateway_url, auth=(user, password), timeout=_OPERATOR_SECONDS
        )

    async def _functions_ready(self) -> None:
        """Returns when the functions of the stack file have what they need. Raises
        `PartFailedError`."""
        if self.gateway is not None:
            names = [each.deployment.name for each in read_stack(self.layout.stack_file)]
            async with self._operator() as http:
                await readiness.until_ready(http, names)

    async def _start(self, stage: str, *parts: Part) -> None:
        """Starts them side by side, and says so in one line."""
        loop = asyncio.get_running_loop()
        began = loop.time()
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
        if parts:
            names = ", ".join(part.name for part in parts)
            self._say(f"{stage} ready after {loop.time() - began:.1f} s ({names})")
        if self._keep:
            self._keepers += [asyncio.create_task(self._kept(part)) for part in parts]

    def _pass_on(self, tell: Tell, part: str, line: str) -> None:
        """Tells what a part says; while it starts, only what is not as it should be."""
        if not (self._starting and journal.is_routine(line)):
            tell(part, line)

    async def _kept(self, part: Part) -> None:
        try:
            await Keeper(part, self._say, lambda: self._room.low).run()
        except PartFailedError as failure:
            self._why = self._why or str(failure)
            self._given_up.set()

    def _say(self, line: str) -> None:
        if self._tell is not None:
            self._tell("local", line)

    def _of_stores(self, megabytes: int) -> Room:
        def store(name: str, port: int | None) -> tuple[Part, int] | None:
            return None if port is None else (self.stores[name], port)

        return Room(
            self.layout.directory,
            megabytes,
            self._say,
            mongo=store("mongo", self.layout.mongo_port),
            valkey=store("valkey", self.layout.redis_port),
        )

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
            check=functools.partial(health.ready, port),
            alive=functools.partial(health.http, port, "/healthz"),
            used_ports=[port],
            tell=self._hear,
            grace=20.0,
        )
