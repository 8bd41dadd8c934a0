"""Writers that race for the numbers of one conversation while its counter is taken away."""

import asyncio
import os
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from local.stack import Stack
from shared import keys
from tests.checker import Record, check
from tests.soft import soft
from tests.wire import Wire, direct, result

MESSAGES = int(os.environ.get("MESSAGES", "4000"))


@pytest.mark.timeout(300)
async def test_two_writers_race_without_a_counter(fragile: Stack, name: str) -> None:
    urls = fragile.layout.connector_urls
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    conv = direct(alice.uid, bob.uid)
    records = {wire: Record(wire.uid, wire.uid) for wire in (alice, bob)}
    client, stopping = Redis(port=fragile.layout.redis_port or 0), asyncio.Event()

    async def take_away() -> None:
        # Ended by an event: a Redis client may take a cancellation for a lost connection.
        while not stopping.is_set():
            await client.delete(soft(keys.sequence(conv)))
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 1)

    async def write(wire: Wire, other: Wire) -> None:
        answers = []
        for number in range(MESSAGES // 2):
            records[wire].send(conv, f"c{number}")
            body = {"type": "text", "body": {"text": "x"}}
            answers.append(wire.start("message.send", to=other.uid, cid=f"c{number}", **body))
        for number, answer in enumerate(answers):
            found = result(await answer)
            records[wire].acknowledge(conv, f"c{number}", found["seq"])

    taking = asyncio.create_task(take_away())
    try:
        async with asyncio.timeout(240):
            await asyncio.gather(write(alice, bob), write(bob, alice))
    finally:
        stopping.set()
        await taking
        await client.aclose()
    for wire in (alice, bob):
        reached = 0
        while True:
            page = await wire.call("message.history", conv=conv, after=reached, limit=200)
            for entry in page["entries"]:
                records[wire].apply(entry)
                reached = entry["seq"]
            if not page["more"]:
                break
    assert check(list(records.values()), {conv: {alice.uid, bob.uid}}) == MESSAGES
