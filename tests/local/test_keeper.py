"""A part that dies is started again, until it dies too often."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from local.keeper import Keeper
from local.part import Part, PartFailedError

PROGRAM = """
import pathlib, signal, sys
if pathlib.Path("broken").exists():
    sys.exit("broken")
pathlib.Path("ready").touch()
print("at work", flush=True)
signal.pause()
"""


class Kept:
    """A part that is kept running, and what was told of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.excused = False
        self.part = Part(
            "thing",
            [sys.executable, "-c", PROGRAM],
            environment=dict(os.environ),
            log=folder / "thing.log",
            check=self._ready,
            folder=folder,
        )
        self.keeper = Keeper(
            self.part, self.told.append, lambda: self.excused, deaths=3, pause=0.01
        )
        self.running: asyncio.Task[None]

    async def _ready(self) -> bool:
        return (self.folder / "ready").exists()

    async def start(self) -> None:
        await self.part.start()
        self.running = asyncio.create_task(self.keeper.run())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.01)

    async def die(self) -> None:
        """It is killed, and back."""
        before = self.part.pid
        os.kill(before, signal.SIGKILL)
        await self.until(lambda: self.part.running and self.part.pid != before)

    def break_(self) -> None:
        """It is killed, and does not start again."""
        (self.folder / "broken").touch()
        (self.folder / "ready").unlink()
        os.kill(self.part.pid, signal.SIGKILL)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = Kept(tmp_path)
    await made.start()
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)
    await made.part.stop()


async def test_it_is_said_why_and_when(kept: Kept) -> None:
    await kept.die()
    await kept.until(lambda: len(kept.told) == 2)
    assert kept.told[0].startswith("thing died (signal SIGKILL): at work; it starts again in 0.")
    assert kept.told[1].startswith("thing is back after ")


async def test_it_is_given_up_after_so_many_deaths(kept: Kept) -> None:
    await kept.die()
    kept.break_()
    with pytest.raises(PartFailedError) as given_up:
        await asyncio.wait_for(kept.running, 20)
    assert str(given_up.value) == (
        "thing did not start (exit code 1): broken; given up after 3 times in 300 s"
    )
    assert not kept.part.running


async def test_deaths_that_are_excused_are_not_counted(kept: Kept) -> None:
    kept.excused = True
    kept.break_()
    log = kept.folder / "thing.log"
    await kept.until(lambda: log.read_text().count("broken") > 4)
    assert len(kept.told) == 1
    assert kept.told[0].endswith("it is tried again until there is room")
    (kept.folder / "broken").unlink()
    await kept.until(lambda: len(kept.told) == 2)
    assert kept.told[1].startswith("thing is back after ")


async def test_one_that_is_stopped_stays_so(kept: Kept) -> None:
    await kept.part.stop()
    await asyncio.wait_for(kept.running, 20)
    assert kept.told == []
    assert not kept.part.running


async def test_one_that_is_stopped_while_it_waits_stays_so(kept: Kept) -> None:
    kept.excused = True
    kept.break_()
    await kept.until(lambda: bool(kept.told))
    await kept.part.stop()
    (kept.folder / "broken").unlink()
    await asyncio.wait_for(kept.running, 20)
    assert not kept.part.running


async def test_a_restart_meanwhile_is_not_undone(kept: Kept) -> None:
    kept.excused = True
    kept.break_()
    await kept.until(lambda: bool(kept.told))
    (kept.folder / "broken").unlink()
    await kept.part.restart()
    pid = kept.part.pid
    await kept.part.revive()
    assert kept.part.pid == pid
    await kept.die()
