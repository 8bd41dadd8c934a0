"""What one's own calls make is given like what others make: once, in order, on every device."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from stonechat import Client, Entry, Forwarded

from local.stack import Stack
from tests.sdk.odd_server import OddServer
from tests.sdk.test_client import take
from tests.sdk.test_frames import entry, signed_in, stored
from tests.wire import PASSWORD, direct

CONV = entry(1)["conv"]


@pytest.fixture
async def devices(stack: Stack, name: str) -> AsyncIterator[tuple[Client, Client, Client]]:
    """Two devices of one person, and somebody else."""
    urls = stack.layout.connector_urls
    async with Client(urls[0]) as one, Client(urls[1]) as other, Client(urls[1]) as bob:
        await one.register(name + "a", PASSWORD)
        await other.login(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        yield one, other, bob


def shown(entries: list[Entry]) -> list[tuple[int, str, int | None]]:
    return [(each.seq, each.type, each.ref) for each in entries]


async def test_ones_own_changes_come_to_every_device(
    devices: tuple[Client, Client, Client],
) -> None:
    one, _, bob = devices
    conv = direct(one.uid, bob.uid)
    sent = await one.send(to=bob.uid, text="first")
    await one.react(conv, sent.seq, "👍")
    again = await one.react(conv, sent.seq, "👍")
    assert again.seq == 2
    await one.edit(conv, sent.seq, text="second")
    passed = await one.forward(conv, sent.seq, conv=conv)
    await one.call(
        "message.react", {"conv": conv, "ref": 1, "emoji": "👍", "remove": True, "cid": "r"}
    )
    await one.recall(conv, sent.seq)
    assert (passed.conv, passed.seq) == (conv, 4)
    expected = [
        (1, "text", None),
        (2, "reaction", 1),
        (3, "edit", 1),
        (4, "text", None),
        (5, "reaction", 1),
        (6, "recall", 1),
    ]
    for client in devices:
        found = await take(client, 6)
        assert shown(found) == expected
        assert found[3].forwarded == Forwarded(one.uid, sent.ts)
        assert found[3].body == {"text": "second"}
        assert (found[3].cid is None) == (client is bob)


async def test_entries_are_as_they_were_sent(devices: tuple[Client, Client, Client]) -> None:
    """Whatever the app does to its own values meanwhile."""
    one, _, bob = devices
    body = {"numbers": [1]}
    sending = asyncio.create_task(one.send(to=bob.uid, type="custom", body=body))
    await asyncio.sleep(0)
    body["numbers"].append(2)
    await sending
    for client in (one, bob):
        assert (await take(client, 1))[0].body == {"numbers": [1]}


async def test_groups_and_friends_that_one_changes_are_told_to_oneself(
    devices: tuple[Client, Client, Client],
) -> None:
    one, other, bob = devices
    made = await one.groups.create("crew", [bob.uid])
    await one.groups.update(made.gid, name="team")
    await one.groups.remove(made.gid, [bob.uid])
    await one.friends.request(bob.uid)
    for client in (one, other):
        found = await take(client, 4)
        events = {(each.conv, each.seq): each.body["event"] for each in found}
        assert events == {
            (made.conv, 1): "created",
            (made.conv, 2): "updated",
            (made.conv, 3): "removed",
            (f"u:{one.uid}", 1): "requested",
        }


async def test_a_hidden_conversation_is_no_news(
    devices: tuple[Client, Client, Client], stack: Stack, name: str
) -> None:
    """To a new device, and at later comparisons where it was only hidden or shown again."""
    one, other, bob = devices
    conv = direct(one.uid, bob.uid)
    for number in range(3):
        await bob.send(conv=conv, text=str(number))
    assert len(await take(one, 3)) == 3
    state = await one.conversations.update(conv, hidden=True)
    assert state.hidden
    async with Client(stack.layout.connector_urls[0]) as fresh:
        await fresh.login(name + "a", PASSWORD)
        for client in (fresh, one):
            for hidden in (False, True):
                await other.conversations.update(conv, hidden=hidden)
                client._session.compare()
                (listed,) = [
                    each for each in await client.conversations.list() if each.conv == conv
                ]
                assert listed.hidden is hidden
        await bob.send(conv=conv, text="news")
        for client in (fresh, one):
            assert shown(await take(client, 1)) == [(4, "text", None)]


@pytest.mark.parametrize("result", [{"conv": CONV, "seq": 1}, {"seq": 1}, {}, None])
async def test_what_a_function_made_is_given_whether_it_says_so_or_not(result: Any) -> None:
    """Functions tell the session that called nothing but their result."""
    listed = {"conversations": [{"conv": CONV, "last_seq": 1}], "now": 1}
    async with OddServer(poll_create=result) as server, await signed_in(server) as client:
        server.answers["message.history"] = stored(entry(1))
        server.answers["conversation.list"] = listed
        await client.call("poll.create", {"conv": CONV, "cid": "c1"})
        assert shown(await take(client, 1)) == [(1, "text", None)]
