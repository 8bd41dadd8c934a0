"""Blocks and strangers: what they may not write, and what they do not hear."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from local.layout import on_free_ports
from local.stack import Stack
from tests.conftest import CHEAP_PASSWORDS
from tests.wire import Refused, Wire, direct


async def refusal(wire: Wire, method: str, **params: Any) -> str:
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    return refused.value.reason


async def test_the_blocked_write_nothing_and_hear_nothing(stack: Stack, name: str) -> None:
    urls = stack.layout.connector_urls
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    conv = direct(alice.uid, bob.uid)
    first = await bob.send(alice.uid, "c1", "hello")
    await alice.call("friend.block", uid=bob.uid, cid="b1")
    text = {"to": alice.uid, "type": "text", "body": {"text": "x"}}
    assert await refusal(bob, "message.send", cid="c2", **text) == "blocked"
    assert await bob.send(alice.uid, "c1", "hello") == first
    edit = {"conv": conv, "ref": 1, "cid": "e", "body": {"text": "y"}}
    assert await refusal(bob, "message.edit", **edit) == "blocked"
    assert await refusal(bob, "conversation.typing", conv=conv) == "blocked"
    assert await refusal(alice, "message.send", cid="c3", **(text | {"to": bob.uid})) == "forbidden"
    await alice.call("conversation.read", conv=conv, seq=1)
    made = await bob.call("group.create", cid="g", name="trap", members=[alice.uid])
    assert (await bob.call("group.get", gid=made["gid"]))["size"] == 1
    invited = await bob.call("group.invite", gid=made["gid"], cid="i", uids=[alice.uid])
    assert invited["results"] == [{"uid": alice.uid, "state": "not_found"}]
    await alice.call("friend.unblock", uid=bob.uid, cid="u1")
    assert (await bob.send(alice.uid, "c4", "again"))["seq"] == 2
    assert [each for each in bob.notifications if each["method"] == "read"] == []


@pytest.fixture
async def strict(name: str) -> AsyncIterator[str]:
    """A connector of a house where only friends write to each other."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        made = on_free_ports(
            Path(folder), connectors=1, STONECHAT_STRANGERS="friends", **CHEAP_PASSWORDS
        )
        async with Stack(made):
            yield made.connector_urls[0]


async def test_a_house_where_only_friends_write(strict: str) -> None:
    alice, bob = await Wire.sign_in(strict, "alice"), await Wire.sign_in(strict, "bobby")
    text = {"to": bob.uid, "type": "text", "body": {"text": "x"}}
    assert await refusal(alice, "message.send", cid="c1", **text) == "forbidden"
    assert (await alice.send(alice.uid, "c1", "a note"))["seq"] == 1
    await alice.call("friend.request", uid=bob.uid, cid="r")
    await bob.call("friend.accept", uid=alice.uid, cid="a")
    assert (await alice.send(bob.uid, "c2", "hello"))["seq"] == 1
    await bob.call("friend.remove", uid=alice.uid, cid="x")
    assert await refusal(alice, "message.send", cid="c3", **text) == "forbidden"
