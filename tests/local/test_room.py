"""A disk that is full: nothing is stored, all else goes on, and it ends when there is room."""

import asyncio
import io
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from local import documents
from tests.conftest import CHEAP_PASSWORDS
from tests.crowd import Crowd
from tests.local.full import Disk, needs_tmpfs, on_a_small_disk
from tests.local.upping import Up, clean_environment
from tests.wire import Refused, Wire, direct

SIZE, ROOM, LEFT = 700, 150, 100  # MB: of the disk, below which nothing is stored, and what is left

pytestmark = [needs_tmpfs, pytest.mark.timeout(180)]


@pytest.fixture(params=["python", "rust"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "rust" and not documents.RUST.exists():
        pytest.skip("`make fast-store` builds it")
    return str(request.param)


class Small:
    """A stack on a small disk."""

    def __init__(self, up: Up, disk: Disk) -> None:
        self.up = up
        self.disk = disk
        self.urls = [word for word in up.shown.split() if word.startswith("ws://")][:1]
        self.s3 = next(line.split()[-1] for line in up.lines if " s3  " in line)


@pytest.fixture
def small(tmp_path: Path, store: str) -> Iterator[Small]:
    folder = tmp_path / ".local-full"
    folder.mkdir()
    environment = clean_environment(tmp_path, STONECHAT_LOCAL_STORE=store, **CHEAP_PASSWORDS)
    up = Up(
        environment,
        *("--stack", "full", "--room", str(ROOM)),
        home=tmp_path,
        before=on_a_small_disk(folder, SIZE),
    )
    try:
        up.until("curl")
        yield Small(up, Disk(up.process.pid, folder))
    finally:
        up.process.terminate()
        code = up.end()
    assert code == 0


async def unavailable(ask: Callable[[], Awaitable[None]]) -> None:
    """Returns when it is refused for this reason, as it may not be at first."""

    async def on_and_on() -> None:
        while True:
            await ask()
            await asyncio.sleep(0.05)

    with pytest.raises(Refused) as refusal:
        await asyncio.wait_for(on_and_on(), 20)
    assert refusal.value.reason == "unavailable"


async def test_what_can_be_read_is_read_and_nothing_is_lost(small: Small, name: str) -> None:
    async with Crowd(small.urls, name, 6, seed=1, pause=0.05) as crowd:
        alice = await Wire.sign_in(small.urls[0], f"{name}a")
        bob = await Wire.sign_in(small.urls[0], f"{name}b")
        conv, number = direct(alice.uid, bob.uid), 0

        async def send() -> None:
            nonlocal number
            number += 1
            text = {"type": "text", "body": {"text": "x"}}
            await alice.call("message.send", conv=conv, cid=f"c{number}", **text)

        async def reads() -> None:
            found = await bob.call("message.history", conv=conv)
            assert [each["seq"] for each in found["entries"]] == list(range(1, kept + 1))

        await send()
        await crowd.until_acknowledged(50)
        await asyncio.to_thread(small.disk.fill, LEFT * 1024 * 1024)
        await small.up.says("the disk is full")
        await unavailable(send)
        kept = number - 1
        await reads()
        await asyncio.to_thread(small.disk.fill)
        await unavailable(send)
        await reads()
        found = await alice.call("presence.get", uids=[alice.uid])
        assert found["presence"][0]["status"] == "online"
        await alice.call("conversation.typing", conv=conv)
        await bob.until("typing", 1)
        assert not await stored(small)
        small.disk.empty()
        await small.up.says("there is room again")
        await crowd.until_acknowledged(50, seconds=30)
        assert await crowd.settle(in_order=False) >= 100
        async with asyncio.timeout(30):
            while not await stored(small):
                await asyncio.sleep(0.1)
        assert (alice.close_code, bob.close_code) == (None, None)
    assert "died" not in small.up.shown


async def stored(small: Small) -> bool:
    """Whether a file is taken; one that was is there."""
    http = urllib3.PoolManager(timeout=3, retries=False)
    s3 = Minio(small.s3, access_key="a", secret_key="a" * 8, secure=False, http_client=http)
    data = bytes(2_000_000)
    try:
        if not await asyncio.to_thread(s3.bucket_exists, "full"):
            await asyncio.to_thread(s3.make_bucket, "full")
        await asyncio.to_thread(s3.put_object, "full", "key", io.BytesIO(data), len(data))
    except (S3Error, HTTPError):
        return False
    found = await asyncio.to_thread(s3.get_object, "full", "key")
    assert found.read() == data
    return True


@pytest.mark.skipif("FULL_DISK" not in os.environ, reason="long: run with FULL_DISK=1")
@pytest.mark.parametrize("store", ["python"], indirect=True)  # the other writes once a minute
async def test_it_comes_back_when_somebody_else_took_all_at_once(small: Small, name: str) -> None:
    """Nobody could tell the stores before."""
    async with Crowd(small.urls, name, 6, seed=2, pause=0.02) as crowd:
        await crowd.until_acknowledged(50)
        os.kill(small.up.process.pid, signal.SIGSTOP)
        small.disk.take()
        with pytest.raises(TimeoutError):
            await crowd.until_acknowledged(10_000, seconds=4)
        os.kill(small.up.process.pid, signal.SIGCONT)
        await small.up.says("the disk is full")
        await small.up.says("mongo broke")
        await small.up.says("it is tried again until there is room")
        small.disk.empty()
        await small.up.says("there is room again")
        await crowd.until_acknowledged(100, seconds=60)
        assert await crowd.settle(in_order=False) >= 150
