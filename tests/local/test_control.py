"""What other commands ask of the stack that runs."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.control import Control, ControlError, ask


class Asked:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def handle(self, word: str) -> str:
        self.words.append(word)
        await self.go.wait()
        return "" if word == "connectors" else f"what is {word}?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Deeper than a socket's address may be long."""
    made = tmp_path / ("deep" * 30)
    made.mkdir()
    return made


@pytest.fixture
async def asked(folder: Path) -> AsyncIterator[Asked]:
    made = Asked()
    (folder / "control").touch()  # of a stack that was killed
    control = Control(folder, made.handle)
    await control.open()
    yield made
    await control.close()
    assert not (folder / "control").exists()


async def test_a_word_is_done_or_answered_why_not(asked: Asked, folder: Path) -> None:
    await asyncio.to_thread(ask, folder, "connectors")
    with pytest.raises(ControlError, match=r"^what is tea\?$"):
        await asyncio.to_thread(ask, folder, "tea")
    with pytest.raises(ControlError, match="stopped"):
        await asyncio.to_thread(ask, folder, "x" * 1000)
    assert asked.words == ["connectors", "tea"]
    assert os.stat(folder / "control").st_mode & 0o777 == 0o600


async def test_who_asks_is_told_when_it_stops_before(folder: Path) -> None:
    made = Asked()
    made.go.clear()
    control = Control(folder, made.handle)
    await control.open()
    asking = asyncio.create_task(asyncio.to_thread(ask, folder, "connectors"))
    async with asyncio.timeout(10):
        while not made.words:
            await asyncio.sleep(0.01)
    await control.close()
    with pytest.raises(ControlError, match="stopped meanwhile"):
        await asking


def test_where_nothing_runs(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ControlError, match="nothing runs in"):
            ask(folder, "connectors")
