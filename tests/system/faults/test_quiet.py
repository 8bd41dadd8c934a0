"""The quiet twins of the faults: nobody writes after them, so nothing that is written mends what
Redis forgot. Who was away finds everything, and lists are what the record says."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from stonechat import Client, SqliteState, StonechatError

from local.stack import Stack
from tests.wire import PASSWORD, direct

RECOVERY = 15.0  # seconds

Fault = Callable[[Stack, Path], Awaitable[None]]


def _redis(stack: Stack) -> Redis:
    return Redis(port=stack.layout.redis_port or 0)


async def _emptied(stack: Stack, saved: Path) -> None:
    async with _redis(stack) as redis:
        await redis.flushall()


def _killed(left: str) -> Fault:
    async def fault(stack: Stack, saved: Path) -> None:
        valkey, data = stack.stores["valkey"], stack.layout.directory / "valkey"
        await valkey.kill()
        if left != "its log":
            shutil.rmtree(data)
            data.mkdir()
        if left == "a snapshot":
            shutil.copytree(saved, data, dirs_exist_ok=True)
        await valkey.start()

    return fault


def _lost(pattern: str) -> Fault:
    """Every key of one kind expires, and none else."""

    async def fault(stack: Stack, saved: Path) -> None:
        async with _redis(stack) as redis:
            names = [name async for name in redis.scan_iter(pattern, count=1000)]
            assert names, f"nothing is called {pattern}"
            await redis.delete(*names)

    return fault


FAULTS: dict[str, Fault] = {
    "emptied": _emptied,
    "killed, nothing is left": _killed("nothing"),
    "killed, a snapshot is left": _killed("a snapshot"),
    "killed, its log is left": _killed("its log"),
} | {
    f"{kind} expire": _lost(pattern)
    for kind, pattern in {
        "heads": "*:tail:*",
        "counters": "*:seq:*",
        "states": "*:states:*",
        "devices": "*:device:*",
        "friendships": "*:friendship:*",
        "marks of generations": "generation",
        "channels": "channel:*",
        "nodes' channels": "node:*:channels",
        "nodes' beats": "node:*:alive",
        "the set of nodes": "nodes",
    }.items()
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
async def test_who_was_away_finds_everything(
    fragile: Stack, name: str, saved: Path, tmp_path: Path, fault: str
) -> None:
    here, there = fragile.layout.connector_urls
    async with Client(here) as alice, Client(there) as carol:
        await alice.register(f"{name}a", PASSWORD)
        await carol.register(f"{name}c", PASSWORD)
        async with Client(there, state=SqliteState(tmp_path / "bob")) as bob:
            await bob.register(f"{name}b", PASSWORD)
            conv = direct(alice.uid, bob.uid)
            for number in range(3):
                await alice.send(to=bob.uid, text="x", cid=f"c{number}")
            seen = await _taken(bob, conv, 3)
            await bob.read(conv, 2)
        shutil.copytree(fragile.layout.directory / "valkey", saved)
        for number in range(3, 8):
            await alice.send(conv=conv, text="x", cid=f"c{number}")
        later = await alice.send(to=carol.uid, text="begun since")
        await FAULTS[fault](fragile, saved)
        # An app that was away repeats an old command: nothing goes back for it.
        again = await _answered(lambda: alice.send(conv=conv, text="x", cid="c1"))
        assert again.seq == 2
        async with Client(here, state=SqliteState(tmp_path / "bob")) as bob:
            assert await bob.resume()
            # The last one that was given had not been handled: it comes again.
            seen += await _taken(bob, conv, 6)
            assert seen == [1, 2, 3, 3, 4, 5, 6, 7, 8]
            listed = await _answered(lambda: bob.call("conversation.list"))
            (item,) = [each for each in listed["conversations"] if each["conv"] == conv]
            assert (item["last_seq"], item["read_seq"]) == (8, 2)
            assert [each.seq for each in await bob.history(conv, limit=3)] == [6, 7, 8]
            await bob.read(conv, 8)
        for client, convs in ((alice, {conv, later.conv}), (carol, {later.conv})):
            listed = await _answered(lambda client=client: client.call("conversation.list"))  # type: ignore[misc]
            assert convs <= {each["conv"] for each in listed["conversations"]}


async def _taken(client: Client, conv: str, count: int) -> list[int]:
    """The numbers of so many entries of a conversation, as they come."""
    seqs: list[int] = []
    async with asyncio.timeout(RECOVERY):
        async for entry in client.entries():
            if entry.conv == conv:
                seqs.append(entry.seq)
            if len(seqs) == count:
                break
    return seqs


async def _answered(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, as soon as there is one."""
    async with asyncio.timeout(RECOVERY):
        while True:
            with suppress(StonechatError, TimeoutError):
                return await ask()
            await asyncio.sleep(0.05)
