"""The stack: all parts of one layout, started in order and stopped in reverse."""

import asyncio
import sys
from collections.abc import Callable
from typing import Self

import httpx

from local.layout import Layout
from local.part import Part, answers
from local.stores import stores
from shared import secretfiles


def _silent(part: str, line: str) -> None:
    """Raw logs are in the layout's folder."""


class Stack:
    """`async with Stack(layout) as stack:` has everything running and healthy inside."""

    def __init__(self, layout: Layout, tell: Callable[[str, str], None] = _silent) -> None:
        """`tell` gets the log lines of our own parts."""
        self.layout = layout
        self.stores = {part.name: part for part in stores(layout)}
        self.gateway = self._gateway(tell)
        self.connectors = [
            self._connector(number, port, tell)
            for number, port in enumerate(layout.connector_ports, 1)
        ]
        self._started: list[Part] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    @property
    def parts(self) -> dict[str, Part]:
        """All parts by name, in the order they start."""
        ours = [self.gateway, *self.connectors]
        return self.stores | {part.name: part for part in ours}

    async def function_pids(self, name: str) -> list[int]:
        """The processes that run a function at this moment."""
        user, password = (
            secretfiles.read(self.layout.secrets, secret)
            for secret in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
        )
        async with httpx.AsyncClient(auth=(user, password), timeout=5) as http:
            answer = await http.get(f"{self.layout.gateway_url}/system/function/{name}")
        found: list[int] = answer.raise_for_status().json()["processes"]
        return found

    async def start(self) -> None:
        """Returns when all is healthy. Raises `PartFailedError`, with nothing left running."""
        await self.start_stores()
        await self.start_rest()

    async def start_stores(self) -> None:
        """The stores alone."""
        self.layout.directory.mkdir(parents=True, exist_ok=True)
        secretfiles.create_missing(self.layout.secrets)
        await self._start(*self.stores.values())

    async def start_rest(self) -> None:
        """What needs the stores."""
        await self._start(self.gateway)
        await self._start(*self.connectors)

    async def failed(self) -> str:
        """Returns when a part died: which, and why, in one line."""
        waits = [asyncio.create_task(part.wait()) for part in self._started]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
            return str(next(task.exception() for task in done if task.exception()))
        finally:
            for task in waits:
                task.cancel()

    async def stop(self) -> None:
        """Stops what runs: connectors first, so that they can answer what they accepted."""
        await asyncio.gather(*(part.stop() for part in self.connectors))
        await self.gateway.stop()
        await asyncio.gather(*(part.stop() for part in self.stores.values()))
        self._started.clear()

    async def kill(self) -> None:
        """Ends everything at once."""
        await asyncio.gather(*(part.kill() for part in self.parts.values()))

    async def _start(self, *parts: Part) -> None:
        self._started += parts
        starts = [asyncio.create_task(part.start()) for part in parts]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise

    def _gateway(self, tell: Callable[[str, str], None]) -> Part:
        port = self.layout.gateway_port

        async def check() -> bool:
            return await answers(port, "/healthz")

        command = [sys.executable, "-m", "local.gateway", "--port", str(port)]
        return Part(
            "gateway",
            [*command, "--stack", str(self.layout.stack_file)],
            environment=self.layout.child_environment(),
            log=self.layout.logs / "gateway.log",
            check=check,
            used_ports=[port],
            tell=tell,
            grace=30.0,
        )

    def _connector(self, number: int, port: int, tell: Callable[[str, str], None]) -> Part:
        async def check() -> bool:
            return await answers(port, "/readyz")

        environment = self.layout.child_environment() | {"STONECHAT_CONNECTOR_PORT": str(port)}
        return Part(
            f"connector-{number}",
            [sys.executable, "-m", "connector"],
            environment=environment,
            log=self.layout.logs / f"connector-{number}.log",
            check=check,
            used_ports=[port],
            tell=tell,
            grace=20.0,
        )
