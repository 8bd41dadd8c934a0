"""Friends through the client library."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from stonechat import Client, Conflict, Forbidden, Friend, MemoryState, NotFound
from stonechat.entry import Entry

from local.stack import Stack
from tests.proxy import Proxy
from tests.wire import PASSWORD, Wire


@pytest.fixture
def urls(stack: Stack) -> list[str]:
    return stack.layout.connector_urls


@pytest.fixture
async def pair(urls: list[str], name: str) -> AsyncIterator[tuple[Client, Client]]:
    async with Client(urls[0]) as alice, Client(urls[1]) as bob:
        await alice.register(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        yield alice, bob


async def inbox(client: Client, count: int) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(30):
        async for entry in client.entries():
            assert entry.conv == f"u:{client.uid}"
            found.append(entry)
            if len(found) == count:
                break
    return found


async def test_from_strangers_to_friends_and_back(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    assert await alice.friends.request(bob.uid, note="hi") == "outgoing"
    (asked,) = await bob.friends.list("incoming")
    assert asked == Friend(alice.uid, "incoming", asked.since, note="hi")
    assert await bob.friends.accept(alice.uid) == "friend"
    noted = await bob.friends.update(alice.uid, alias="A", tags=["x"], ext={"k": "v"})
    assert (noted.alias, noted.tags, noted.ext) == ("A", ("x",), {"k": "v"})
    assert await bob.friends.list() == [noted]
    assert (await bob.friends.update(alice.uid, alias="", tags=[])).ext == {"k": "v"}
    assert await alice.friends.remove(bob.uid) == "none"
    assert await bob.friends.list() == []
    assert await alice.friends.request(bob.uid) == "outgoing"
    assert await bob.friends.decline(alice.uid) == "none"
    events = ["requested", "accepted", "updated", "updated", "removed", "requested", "declined"]
    assert [entry.body["event"] for entry in await inbox(bob, 7)] == events
    events = [event for event in events if event != "updated"]
    assert [entry.body["event"] for entry in await inbox(alice, 5)] == events


async def test_refusals_have_types(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    with pytest.raises(NotFound):
        await alice.friends.request("nobodyatall")
    with pytest.raises(Conflict):
        await alice.friends.unblock(bob.uid)
    assert await bob.friends.block(alice.uid) == "blocked"
    with pytest.raises(Forbidden, match="blocked"):
        await alice.friends.request(bob.uid)
    assert await bob.friends.unblock(alice.uid) == "none"


async def test_the_list_is_what_the_entries_say(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    await alice.friends.request(bob.uid, note="hi")
    await bob.friends.accept(alice.uid)
    await alice.friends.update(bob.uid, alias="B", ext={"k": "v"})
    known: dict[str, Friend] = {}
    for entry in await inbox(alice, 3):
        known[entry.body["uid"]] = Friend.parse(entry.body)
    assert list(known.values()) == await alice.friends.list()


async def test_steps_over_broken_connections_are_made_once(urls: list[str], name: str) -> None:
    async with Proxy(urls[0]) as proxy, Client(proxy.url, state=MemoryState()) as alice:
        await alice.register(name + "a", PASSWORD)
        bob = await Wire.sign_in(urls[1], name + "b")
        for _ in range(3):
            asking = asyncio.create_task(alice.friends.request(bob.uid))
            await asyncio.sleep(0)
            proxy.cut()
            assert await asking == "outgoing"
            removing = asyncio.create_task(alice.friends.remove(bob.uid))
            await bob.until("entry", 1)
            proxy.cut()
            assert await removing == "none"
        history = await bob.call("message.history", conv=f"u:{bob.uid}", after=0)
    events = [entry["body"]["event"] for entry in history["entries"]]
    assert events == ["requested", "removed"] * 3
