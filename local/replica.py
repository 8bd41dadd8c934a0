"""One replica of a function: a process that is started again when it dies, at once where it had
lived for a while and else with growing pauses."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from connector.backoff import Backoff
from local import health
from local.processes import START_SECONDS, FunctionFailedError, Process

logger = structlog.get_logger(__name__)

_STABLE_SECONDS = 10.0  # a process that lived this long was no failed start


class Replica:
    """Calls go to `url` inside `with replica.call():`, so that none is cut off by `retire`."""

    def __init__(
        self, name: str, launch: Callable[[], Awaitable[Process]], last_words: Callable[[], str]
    ) -> None:
        """`launch` starts a process; `last_words` is what the function said last."""
        self._name = name
        self._launch = launch
        self._last_words = last_words
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.calls = 0  # under way
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def url(self) -> str | None:
        """None while there is no process."""
        return None if self._process is None else self._process.url

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @contextmanager
    def call(self) -> Iterator[None]:
        """What goes on inside is waited for by `retire`."""
        self.calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.calls -= 1
            if not self.calls:
                self._idle.set()

    async def start(self) -> None:
        """Returns when it is healthy; it is kept running from then on. Raises
        `FunctionFailedError`, with nothing left running."""
        self._process = await self._healthy()
        self.keep()

    def keep(self) -> None:
        """Has it running in a while, and from then on."""
        self._keeper = asyncio.create_task(self._keep())

    async def retire(self, patience: float) -> None:
        """Ends it when the calls it has are answered. Nobody may begin another one."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), patience)
        await self.end()

    async def end(self) -> None:
        """Stops the process; it finishes what it has begun, for a while."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        process, self._process = self._process, None
        if process is not None:
            await process.end()

    async def _keep(self) -> None:
        backoff, loop = Backoff(0.1, 5.0), asyncio.get_running_loop()
        while True:
            if self._process is not None:
                since = loop.time()
                code = await asyncio.shield(self._process.ended)
                self._process = None
                said = self._last_words()
                logger.warning("function_died", function=self._name, code=code, said=said)
                if loop.time() - since > _STABLE_SECONDS:
                    backoff.reset()
                else:
                    await backoff.pause()
            try:
                self._process = await self._healthy()
                logger.info("function_started", function=self._name, pid=self._process.pid)
            except (FunctionFailedError, OSError, TimeoutError) as error:
                logger.error("function_failed", function=self._name, error=error)
                await backoff.pause()

    async def _healthy(self) -> Process:
        process = await self._launch()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        try:
            while not process.ended.done() and loop.time() < deadline:
                with suppress(OSError, EOFError, TimeoutError):
                    async with asyncio.timeout(START_SECONDS):
                        if await health.http(process.port, process.check):
                            return process
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            await process.end()
            raise
        await process.end()
        raise FunctionFailedError(f"function {self._name} did not start: {self._last_words()}")
