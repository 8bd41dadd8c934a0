"""The client library against the whole system."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from stonechat import (
    Client,
    Conflict,
    Disconnected,
    InvalidParams,
    MemoryState,
    Read,
    SignedOut,
    SqliteState,
    TooLarge,
    Unauthenticated,
)
from stonechat.entry import Entry

from local.stack import Stack
from tests.checker import Record, check
from tests.proxy import Proxy
from tests.wire import PASSWORD, Wire, direct


@pytest.fixture
def urls(stack: Stack) -> list[str]:
    return stack.layout.connector_urls


@pytest.fixture
async def pair(urls: list[str], name: str) -> AsyncIterator[tuple[Client, Client]]:
    async with Client(urls[0]) as alice, Client(urls[1]) as bob:
        await alice.register(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        yield alice, bob


async def take(client: Client, count: int, seconds: float = 30) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(seconds):
        async for entry in client.entries():
            found.append(entry)
            if len(found) == count:
                break
    return found


async def test_entries_come_in_order_with_ones_own_among_them(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    conv, count = direct(alice.uid, bob.uid), 200
    sends = [
        sender.send(conv=conv, text=f"{number}")
        for number in range(count)
        for sender in (alice, bob)
    ]
    sent = await asyncio.gather(*sends)
    records = []
    for client in pair:
        record = Record(client.uid, client.uid)
        for entry in await take(client, 2 * count):
            record.apply({"conv": entry.conv, "seq": entry.seq, "id": entry.id})
        records.append(record)
    assert check(records, {conv: {alice.uid, bob.uid}}) == 0
    assert {each.seq for each in sent} == {e["seq"] for e in records[0].applied[conv]}


async def test_a_new_client_begins_with_what_comes(
    pair: tuple[Client, Client], urls: list[str], name: str
) -> None:
    alice, bob = pair
    await alice.send(to=bob.uid, text="old")
    async with Client(urls[0]) as late, Client(urls[0], from_start=True) as thorough:
        await late.login(name + "b", PASSWORD)
        await thorough.login(name + "b", PASSWORD)
        await alice.send(to=bob.uid, text="new")
        assert [entry.body["text"] for entry in await take(late, 1)] == ["new"]
        assert [entry.body["text"] for entry in await take(thorough, 2)] == ["old", "new"]


async def test_it_comes_back_by_itself_and_misses_nothing(urls: list[str], name: str) -> None:
    alice = await Wire.sign_in(urls[0], name + "a")
    async with Proxy(urls[1]) as proxy, Client(proxy.url) as bob:
        await bob.register(name + "b", PASSWORD)
        for number in range(5):
            await alice.send(bob.uid, f"c{2 * number}")
            proxy.cut()
            await alice.send(bob.uid, f"c{2 * number + 1}")
            found = await take(bob, 2)
            assert [entry.seq for entry in found] == [2 * number + 1, 2 * number + 2]


async def test_what_is_sent_over_broken_connections_is_stored_once(
    urls: list[str], name: str
) -> None:
    bob = await Wire.sign_in(urls[0], name + "b")
    async with Proxy(urls[1]) as proxy, Client(proxy.url) as alice:
        await alice.register(name + "a", PASSWORD)
        sends = []
        for number in range(60):
            if number % 20 == 10:
                proxy.cut()
            sends.append(asyncio.create_task(alice.send(to=bob.uid, text=str(number))))
            await asyncio.sleep(0.002)
        async with asyncio.timeout(30):
            sent = await asyncio.gather(*sends)
    conv = direct(alice.uid, bob.uid)
    stored = (await bob.call("message.history", conv=conv, after=0, limit=200))["entries"]
    texts = {each["seq"]: each["body"]["text"] for each in stored if each["type"] == "text"}
    assert texts == {each.seq: str(number) for number, each in enumerate(sent)}


async def test_the_state_carries_over_to_the_next_process(
    urls: list[str], name: str, tmp_path: Path
) -> None:
    bob = await Wire.sign_in(urls[1], name + "b")
    state = tmp_path / "alice.sqlite"
    async with Client(urls[0], state=SqliteState(state)) as alice:
        await alice.register(name + "a", PASSWORD)
        uid = alice.uid
        await bob.send(uid, "c1", "one")
        await bob.send(uid, "c2", "two")
        iterator = alice.entries()
        assert (await anext(iterator)).body["text"] == "one"
        assert (await anext(iterator)).body["text"] == "two"  # being handled when it ends
    await bob.send(uid, "c3", "three")
    unsent = SqliteState(state)
    params = {"to": bob.uid, "cid": "kept", "type": "text", "body": {"text": "kept"}}
    unsent.keep([("message.send", params)])
    async with Client(urls[0], state=unsent) as alice:
        assert await alice.resume()
        assert alice.uid == uid
        texts = [entry.body["text"] for entry in await take(alice, 3)]
    assert texts == ["two", "three", "kept"]
    kept = SqliteState(state)
    assert kept.kept() == []
    kept.close()


async def test_errors_have_types(urls: list[str], name: str) -> None:
    async with Client(urls[0]) as client:
        with pytest.raises(Unauthenticated, match="bad_credentials"):
            await client.login(name, PASSWORD)
        await client.register(name, PASSWORD)
        with pytest.raises(InvalidParams) as refused:
            await client.send(to="?", text="x")
        assert refused.value.data["errors"][0]["loc"] == ["to"]
    async with Client(urls[0]) as again:
        with pytest.raises(Conflict, match="username_taken"):
            await again.register(name, PASSWORD)


async def test_signed_out_is_told_to_everyone_who_waits(pair: tuple[Client, Client]) -> None:
    alice, _ = pair
    waiting = asyncio.create_task(take(alice, 1))
    with suppress(SignedOut):
        await alice.logout()
    with pytest.raises(SignedOut):
        await waiting
    with pytest.raises(SignedOut):
        await alice.call("user.get", {"uids": [alice.uid]})


async def test_an_app_that_takes_nothing_still_sends(urls: list[str], name: str) -> None:
    async with Client(urls[0], inbox_limit=10) as alice, Client(urls[1]) as bob:
        await alice.register(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        async with asyncio.timeout(30):
            for number in range(60):
                sent = await alice.send(to=bob.uid, text=str(number))
                await bob.read(sent.conv, sent.seq)
        assert [entry.seq for entry in await take(alice, 60)] == list(range(1, 61))
        signals = alice.signals()
        async with asyncio.timeout(30):
            while (told := await anext(signals)).seq != 60:
                assert isinstance(told, Read)


async def test_what_is_too_large_is_not_sent(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    with pytest.raises(TooLarge):
        await alice.send(to=bob.uid, text="x" * 70_000)
    assert (await alice.send(to=bob.uid, text="small")).seq == 1


async def test_a_full_outbox_outlives_a_lost_connection(urls: list[str], name: str) -> None:
    async with Proxy(urls[0]) as proxy, Client(proxy.url, outbox_limit=20) as alice:
        await alice.register(name, PASSWORD)
        proxy.refusing = True
        proxy.cut()
        sends = [
            asyncio.create_task(alice.send(to=alice.uid, text=str(number))) for number in range(20)
        ]
        await asyncio.sleep(0)  # each has asked
        proxy.refusing = False
        async with asyncio.timeout(30):
            sent = await asyncio.gather(*sends)
    assert [each.seq for each in sent] == list(range(1, 21))


async def test_a_closed_client_says_so(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    for number in range(2):
        await bob.send(to=alice.uid, text=str(number))
    entries = alice.entries()
    assert (await anext(entries)).seq == 1
    await alice.close()
    with pytest.raises(Disconnected):
        await anext(entries)
    with pytest.raises(Disconnected):
        await alice.send(to=bob.uid, text="late")


async def test_resuming_waits_as_long_as_it_is_told(urls: list[str], name: str) -> None:
    state = MemoryState()
    async with Client(urls[0], state=state) as alice:
        assert not await alice.resume()
        await alice.register(name, PASSWORD)
    async with Proxy(urls[0]) as proxy, Client(proxy.url, state=state) as alice:
        proxy.refusing = True
        with pytest.raises(Disconnected, match="no session"):
            await alice.resume(seconds=0.3)
        proxy.refusing = False
        assert await alice.resume(seconds=30)
        assert alice.connected


async def test_a_device_that_was_signed_out_can_log_in_again(urls: list[str], name: str) -> None:
    state = MemoryState()
    async with Client(urls[0], state=state) as alice:
        await alice.register(name, PASSWORD)
        uid = alice.uid
    state.put("tokens", {"access_token": "spoilt", "refresh_token": "spoilt", "expires": 1e12})
    async with Client(urls[0], state=state) as alice:
        with pytest.raises(SignedOut):
            await alice.resume(seconds=30)
        await alice.login(name, PASSWORD)
        assert alice.uid == uid


SENDER = """
import asyncio, sys
from stonechat import Client, SqliteState

async def main(url, file, to):
    async with Client(url, state=SqliteState(file)) as client:
        await client.resume()
        async def send(number):
            sent = await client.send(to=to, text=str(number), cid=f"c{number}")
            print(number, sent.seq, flush=True)
        first = int(sys.argv[4])
        await asyncio.gather(*(send(number) for number in range(first, first + 2000)))

asyncio.run(main(*sys.argv[1:4]))
"""


async def test_a_process_killed_while_sending_neither_loses_nor_doubles(
    urls: list[str], name: str, tmp_path: Path
) -> None:
    file, rounds, size = tmp_path / "alice.sqlite", 3, 2000
    async with Client(urls[0], state=SqliteState(file)) as alice:
        await alice.register(name + "a", PASSWORD)
    acknowledged: dict[str, int] = {}
    async with Client(urls[1], from_start=True) as bob:
        await bob.register(name + "b", PASSWORD)
        for first in range(0, rounds * size, size):
            told = await killed_while_sending(urls[0], file, bob.uid, first)
            assert 0 < len(told) < size, "it was to be killed half-way"
            acknowledged |= told
            left = SqliteState(file)
            assert left.kept(), "nothing was left to send, which proves nothing"
            left.close()
        # What the last process left is sent by the next one, before its own.
        async with Client(urls[0], state=SqliteState(file)) as alice:
            await alice.resume(seconds=30)
            await alice.send(to=bob.uid, text="end")
        found: dict[str, int] = {}
        async with asyncio.timeout(60):
            async for entry in bob.entries():
                text = entry.body["text"]
                assert entry.seq == len(found) + 1
                assert text not in found, "doubled"
                found[text] = entry.seq
                if text == "end":
                    break
    assert {number: found[number] for number in acknowledged} == acknowledged
    assert set(found) == {str(number) for number in range(rounds * size)} | {"end"}


async def killed_while_sending(url: str, file: Path, to: str, first: int) -> dict[str, int]:
    """What a process was acknowledged that was killed after the first few."""
    command = [sys.executable, "-c", SENDER, url, str(file), to, str(first)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines = [await process.stdout.readline()]
    process.kill()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    pairs = [line.split() for line in lines if line.endswith(b"\n")]
    return {number.decode(): int(seq) for number, seq in pairs}


async def test_what_a_handler_waits_for_is_cancelled(stack: Stack, name: str) -> None:
    """That is the handler's failure, and the next entry follows."""
    async with Client(stack.layout.connector_urls[0]) as client:
        await client.register(name, PASSWORD)
        done, failed = asyncio.Event(), []

        async def handler(entry: Entry) -> None:
            if entry.seq == 1:
                task = asyncio.create_task(asyncio.sleep(60))
                task.cancel()
                await task
            done.set()

        work = asyncio.create_task(client.handle(handler, lambda *each: failed.append(each)))
        for _ in range(2):
            await client.send(to=client.uid, text="x")
        async with asyncio.timeout(10):
            await done.wait()
        assert [entry.seq for entry, _ in failed] == [1]
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


async def test_only_a_method_and_an_object_are_called(stack: Stack, name: str) -> None:
    async with Client(stack.layout.connector_urls[0]) as client:
        await client.register(name, PASSWORD)
        for method, params in (("user.get", [1]), ("user.get", "x"), (5, {})):
            with pytest.raises(TypeError):
                await client.call(method, params)  # type: ignore[arg-type]
