"""Processes that are killed, and one that freezes."""

import asyncio
import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from local.stack import Stack
from tests.crowd import Crowd

RECOVERY = 15.0  # seconds after a fault's end within which messages flow again


async def flows_again(crowd: Crowd) -> None:
    await crowd.until_acknowledged(200, seconds=RECOVERY)


@pytest.mark.timeout(180)
async def test_a_connector_is_killed(fragile: Stack, crowd: Crowd, chance: random.Random) -> None:
    for _ in range(2):
        connector = chance.choice(fragile.connectors)
        await connector.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        await connector.start()
        await flows_again(crowd)
    assert await crowd.settle(in_order=False)


@pytest.mark.timeout(180)
async def test_functions_are_killed_in_mid_batch(
    fragile: Stack, crowd: Crowd, chance: random.Random
) -> None:
    for _ in range(4):
        for function in chance.sample(["send", "sync"], chance.choice([1, 2])):
            for pid in await fragile.function_pids(function):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await flows_again(crowd)
    assert await crowd.settle(in_order=False)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("left", ["nothing", "a snapshot", "its log"])
async def test_valkey_is_killed(
    fragile: Stack, crowd: Crowd, chance: random.Random, saved: Path, left: str
) -> None:
    valkey, data = fragile.stores["valkey"], fragile.layout.directory / "valkey"
    shutil.copytree(data, saved)
    await crowd.until_acknowledged(300)
    await valkey.kill()
    if left != "its log":
        shutil.rmtree(data)
        data.mkdir()
    if left == "a snapshot":
        shutil.copytree(saved, data, dirs_exist_ok=True)
    await asyncio.sleep(chance.uniform(0, 2))
    await valkey.start()
    await flows_again(crowd)
    assert await crowd.settle(in_order=False)


@pytest.mark.timeout(180)
async def test_the_document_store_is_killed(
    fragile: Stack, crowd: Crowd, chance: random.Random
) -> None:
    mongo = fragile.stores["mongo"]
    for _ in range(2):
        await mongo.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        await mongo.start()
        await flows_again(crowd)
    assert await crowd.settle(in_order=False)


@pytest.mark.timeout(180)
async def test_a_connector_freezes_and_wakes_up(fragile: Stack, crowd: Crowd) -> None:
    frozen = fragile.connectors[0]
    frozen.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(float(os.environ.get("FREEZE", "20")))
    finally:
        frozen.signal(signal.SIGCONT)
    await flows_again(crowd)
    assert await crowd.settle(in_order=False)
