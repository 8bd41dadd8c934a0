"""People with much of everything: what grows with a person locks nobody out."""

import asyncio

import pytest
from stonechat import Client

from local.stack import Stack
from tests.many import friends_of, groups_of, written
from tests.proxy import Proxy
from tests.sdk.test_client import take
from tests.wire import PASSWORD, Wire, direct

MBITS = 3


@pytest.fixture
def urls(stack: Stack) -> list[str]:
    return stack.layout.connector_urls


@pytest.mark.parametrize("cut", [False, True])
async def test_a_slow_line_and_two_thousand_groups_of_strangers(
    urls: list[str], name: str, cut: bool
) -> None:
    uid = (await Wire.sign_in(urls[0], name)).uid
    convs = await asyncio.to_thread(groups_of, uid, 2000, "x" * 30_000)
    async with Proxy(urls[0]) as proxy, Client(proxy.url) as alice:
        proxy.piece = 16 * 1024
        proxy.delay = proxy.piece * 8 / (MBITS * 1e6)
        if cut:
            asyncio.get_running_loop().call_later(3, proxy.cut)
        await alice.login(name, PASSWORD)
        assert {each.conv for each in await alice.conversations.list()} == set(convs)
        some = convs[::97]
        written(some, "sender00", "news")
        found = await take(alice, len(some))
        assert {(each.conv, each.seq) for each in found} == {(conv, 2) for conv in some}


async def test_long_messages_come_over_a_slow_line(urls: list[str], name: str) -> None:
    bob = await Wire.sign_in(urls[1], name + "b")
    async with Proxy(urls[0]) as proxy, Client(proxy.url, from_start=True) as alice:
        await alice.register(name + "a", PASSWORD)
        proxy.cut()
        proxy.piece = 16 * 1024
        proxy.delay = proxy.piece * 8 / (MBITS * 1e6)
        for number in range(60):
            await bob.send(alice.uid, f"c{number}", "x" * 30_000)
        assert [each.seq for each in await take(alice, 60, 60)] == list(range(1, 61))


async def test_a_hidden_conversation_is_no_news_to_a_new_device(urls: list[str], name: str) -> None:
    alice = await Wire.sign_in(urls[0], name + "a")
    bob = await Wire.sign_in(urls[1], name + "b")
    conv = direct(alice.uid, bob.uid)
    for number in range(3):
        await alice.send(bob.uid, f"c{number}", "old")
    await bob.call("conversation.update", conv=conv, hidden=True)
    async with Client(urls[0]) as device:
        await device.login(name + "b", PASSWORD)
        (item,) = await device.conversations.list()
        assert item.hidden
        await alice.send(bob.uid, "c4", "new")
        assert [each.seq for each in await take(device, 1)] == [4]


async def test_histories_and_friends_of_many_pages_come_whole(urls: list[str], name: str) -> None:
    bob = await Wire.sign_in(urls[1], name + "b")
    async with Client(urls[0]) as alice:
        await alice.register(name + "a", PASSWORD)
        conv = direct(alice.uid, bob.uid)
        for number in range(25):
            await bob.send(alice.uid, f"c{number}", "x" * 30_000)
        for params, seqs in (
            ({}, range(6, 26)),
            ({"after": 0}, range(1, 21)),
            ({"after": 10}, range(11, 26)),
            ({"before": 16}, range(1, 16)),
        ):
            found = await alice.history(conv, limit=20, **params)
            assert [each.seq for each in found] == list(seqs)
        friends = friends_of(alice.uid, 450, "n" * 900)
        assert [each.uid for each in await alice.friends.list()] == friends
