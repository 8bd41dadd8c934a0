"""One replica of a function that stands still: who is not waiting for it notices little."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from tests.conftest import CHEAP_PASSWORDS
from tests.wire import Wire

PEOPLE = 12
ROUNDS = 20


@pytest.fixture
async def own() -> AsyncIterator[Stack]:
    """A system with three replicas of `send`."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        async with Stack(on_free_ports(Path(folder), connectors=1, **CHEAP_PASSWORDS)) as made:
            user, password = (
                secretfiles.read(made.layout.secrets, name)
                for name in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
            )
            async with httpx.AsyncClient(
                base_url=made.layout.gateway_url, auth=(user, password), timeout=20
            ) as http:
                await http.post("/system/scale-function/send", json={"replicas": 3})
            yield made


async def test_a_replica_that_stands_still_holds_up_only_who_waits_for_it(
    own: Stack, name: str
) -> None:
    url = own.layout.connector_urls[0]
    people = [await Wire.sign_in(url, f"{name}{n}") for n in range(PEOPLE)]
    async with asyncio.timeout(20):
        while len(pids := await own.function_pids("send")) < 3:
            await asyncio.sleep(0.05)
    os.kill(pids[1], signal.SIGSTOP)
    try:

        async def write(wire: Wire) -> int:
            """How many were acknowledged."""
            for number in range(ROUNDS):
                await wire.send(wire.uid, f"c{number}")
            return ROUNDS

        writing = []
        for wire in people:  # one begins when another is through, or waits for it
            writing.append(asyncio.create_task(write(wire)))
            await asyncio.wait(writing[-1:], timeout=2)
        assert sum(task.done() for task in writing) > PEOPLE // 2, "most never met it"
    finally:
        os.kill(pids[1], signal.SIGCONT)
    assert [await each for each in writing] == [ROUNDS] * PEOPLE
    for wire in people:
        history = await wire.call("message.history", conv=f"d:{wire.uid}:{wire.uid}")
        assert [each["seq"] for each in history["entries"]] == list(range(1, ROUNDS + 1))
