"""Domain events while their subscriber, or the connector that hands them over, is killed."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import orjson
import pytest
from redis.asyncio import Redis

from local.deploy import Front
from local.deployment import Packed, parse
from local.layout import on_free_ports
from local.stack import Stack
from shared import events, keys, secretfiles
from shared.events import Happened
from tests.conftest import CHEAP_PASSWORDS

EVENTS = int(os.environ.get("EVENTS", "10000"))

# Notes what it handled; refuses what is poison, for as long as there is poison.
HANDLER = """
    import time
    from shared.errors import CallError, Reason
    from shared.function import Function
    from shared.stores import redis_client

    fn = Function(NAME)

    @fn.event("thing.happened")
    def note(batch):
        time.sleep(0.02)
        if redis_client().exists("test:poison"):
            return [
                CallError(Reason.CONFLICT, "poison") if event.data.get("poison") else None
                for event in batch
            ]
        with redis_client().pipeline() as pipe:
            for event in batch:
                pipe.sadd(f"test:handled:{NAME}", event.id)
                pipe.incr(f"test:count:{NAME}:{event.id}")
            pipe.execute()
        return [None] * len(batch)

    handle = fn.handle
    ready = fn.ready
"""


def listener(folder: Path, name: str) -> Packed:
    home = folder / name
    home.mkdir()
    (home / "handler.py").write_text(f"NAME = {name!r}\n{dedent(HANDLER)}")
    deployment = {
        "service": name,
        "image": f"{name}:latest",
        "annotations": {"topic": "stonechat", "stonechat.events": "thing.happened"},
        "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
    }
    return Packed(parse(deployment), home)


class Listeners:
    """A system with two functions that want the same events."""

    def __init__(self, stack: Stack, client: Redis) -> None:
        self.stack = stack
        self.client = client

    async def emit(self, happened: list[Happened]) -> None:
        """Adds them to the stream, some hundred at a time."""
        for start in range(0, len(happened), 100):
            await self.client.xadd(keys.EVENTS, events.fields(happened[start : start + 100]))

    async def handled(self, name: str) -> int:
        return int(await self.client.scard(f"test:handled:{name}"))

    async def until_handled(self, name: str, count: int, seconds: float = 90) -> None:
        async with asyncio.timeout(seconds):
            while await self.handled(name) < count:
                await asyncio.sleep(0.02)

    async def dead(self, *arguments: str) -> list[str]:
        """What the command for dead letters prints."""
        command = [sys.executable, "-m", "shared.deadletters", *arguments]
        ran = await asyncio.create_subprocess_exec(
            *command,
            env=self.stack.layout.child_environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(ran.communicate(), 30)
        assert ran.returncode == 0
        return out.decode().splitlines()


@pytest.fixture
async def listeners(tmp_path: Path) -> AsyncIterator[Listeners]:
    settings = {
        "STONECHAT_EVENTS_ATTEMPTS": "3",
        "STONECHAT_EVENTS_CLAIM_AFTER": "3",
        "STONECHAT_LANE_BATCH": "200",
    }
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        layout = on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS, **settings)
        async with Stack(layout) as stack, Redis(port=layout.redis_port or 0) as client:
            password = secretfiles.read(layout.secrets, secretfiles.GATEWAY_PASSWORD)
            front = Front(layout.gateway_url, "admin", password)
            for name in ("first", "second"):
                await asyncio.to_thread(front.up, listener(tmp_path, name))
            async with asyncio.timeout(20):
                while not {b"first", b"second"} <= {each["name"] for each in await groups(client)}:
                    await asyncio.sleep(0.02)
            yield Listeners(stack, client)


async def groups(client: Redis) -> list[dict[str, bytes]]:
    if not await client.exists(keys.EVENTS):
        return []
    found: list[dict[str, bytes]] = await client.xinfo_groups(keys.EVENTS)
    return found


@pytest.mark.timeout(180)
async def test_the_subscriber_is_killed_five_times(listeners: Listeners) -> None:
    happened = [Happened("thing.happened", {"n": n}) for n in range(EVENTS)]
    emitting = asyncio.create_task(listeners.emit(happened))
    for kill in range(1, 6):
        await listeners.until_handled("first", kill * EVENTS // 8)
        async with asyncio.timeout(20):
            while not (pids := await listeners.stack.function_pids("first")):
                await asyncio.sleep(0.02)
        os.kill(pids[0], signal.SIGKILL)
    await emitting
    for name in ("first", "second"):
        await listeners.until_handled(name, EVENTS)
    assert await listeners.dead() == []


@pytest.mark.timeout(180)
async def test_the_dispatching_connector_is_killed(listeners: Listeners) -> None:
    happened = [Happened("thing.happened", {"n": n}) for n in range(EVENTS)]
    await listeners.emit(happened)
    for number, connector in enumerate(listeners.stack.connectors, 1):
        await listeners.until_handled("first", number * EVENTS // 4)
        await connector.kill()
        await connector.start()
    for name in ("first", "second"):
        await listeners.until_handled(name, EVENTS)
    assert await listeners.dead() == []


async def test_dead_letters_are_listed_and_replayed(listeners: Listeners) -> None:
    await listeners.client.set("test:poison", "1")
    poison = [Happened("thing.happened", {"poison": True, "n": n}) for n in range(3)]
    await listeners.emit(poison)
    async with asyncio.timeout(60):
        while await listeners.dead() != ["first 3", "second 3"]:
            await asyncio.sleep(0.1)
    letters = [orjson.loads(line) for line in await listeners.dead("list", "first")]
    assert sorted(each["event"]["id"] for each in letters) == sorted(each.id for each in poison)
    assert {each["error"] for each in letters} == {"conflict: poison"}
    await listeners.client.delete("test:poison")
    assert await listeners.dead("replay", "first", letters[0]["id"]) == ["1 replayed"]
    await listeners.until_handled("first", 1)
    assert await listeners.dead() == ["first 2", "second 3"]
    assert await listeners.dead("replay", "first") == ["2 replayed"]
    await listeners.until_handled("first", 3)
    assert await listeners.dead("drop", "second") == ["3 dropped"]
    assert await listeners.dead() == []
    # What was replayed to one did not reach the other.
    last = Happened("thing.happened", {})
    await listeners.emit([last])
    await listeners.until_handled("second", 1)
    assert await listeners.client.smembers("test:handled:second") == {last.id.encode()}
