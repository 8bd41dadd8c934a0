"""The node's stream on a real Redis: what is delivered to whom, and what is noticed when lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import orjson
import pytest
from redis.asyncio import Redis

from connector.channel_sources import RESYNC
from connector.emitter import Emitter
from connector.inbox import Inbox
from connector.node import Node
from connector.registry import Registry
from connector.session import Session
from connector.subscriptions import Subscriptions
from local.stack import Stack
from shared import events, keys
from shared.bus import Close, Delivery, Item, Membership, bus
from shared.ids import new_id
from shared.settings import settings
from tests.connector.outlets import ENDLESS, Recorder


class Desk(NamedTuple):
    """A node without sockets: what sessions were written stands in `written`."""

    inbox: Inbox
    node: Node
    subscriptions: Subscriptions
    sessions: dict[str, Session]
    outlets: dict[str, Recorder]
    closed: list[tuple[str, int]]
    client: Redis

    async def read(self) -> None:
        await self.inbox.deliver(await self.inbox._next())

    @property
    def written(self) -> dict[str, list[bytes]]:
        return {sid: outlet.frames for sid, outlet in self.outlets.items()}

    async def add(self, sid: str, uid: str, device: str = "did") -> Session:
        session = Session(len(self.sessions), sid, ENDLESS, self.outlets[sid], 0.0)
        session.uid, session.device, session.opened = uid, device, True
        self.sessions[sid] = session
        self.subscriptions.subscribe(session, f"user:{uid}")
        await self.inbox._registry._tell()
        return session


@pytest.fixture
async def desk(stores: Stack) -> AsyncIterator[Desk]:
    client: Redis = Redis.from_url(settings().redis_url)
    node_id, subscriptions = new_id(), Subscriptions()
    sessions: dict[str, Session] = {}
    closed: list[tuple[str, int]] = []
    registry = Registry(client, node_id, subscriptions)
    emitter = Emitter(client, registry, stream_length=1000, unsent=1000)
    inbox = Inbox(
        client,
        node_id,
        subscriptions,
        registry,
        sessions.values,
        lambda session, code, why: closed.append((session.sid, code)),
        emitter,
    )
    node = Node(client, node_id, inbox, emitter, ttl=15, interval=3)
    outlets = {name: Recorder() for name in "abc"}
    made = Desk(inbox, node, subscriptions, sessions, outlets, closed, client)
    yield made
    await node.leave()
    await client.aclose()


def publish(*items: Item) -> None:
    bus().publish(items)


async def test_a_frame_reaches_each_listener_once(desk: Desk) -> None:
    one, two = new_id(), new_id()
    await desk.add("a", one)
    await desk.add("b", one)
    await desk.add("c", two)
    both = (f"user:{one}", f"user:{two}")
    publish(Delivery(both, b"1"), Delivery(both, b"2", skip_session="a"))
    publish(Delivery((f"user:{new_id()}",), b"nobody's"), Delivery(both, b"3", skip_users=(one,)))
    await desk.read()
    assert desk.written == {"a": [b"1"], "b": [b"1", b"2"], "c": [b"1", b"2", b"3"]}


async def test_some_of_the_listeners_are_left_out(desk: Desk) -> None:
    one, two, three = new_id(), new_id(), new_id()
    for name, uid in zip("abc", (one, two, three), strict=True):
        await desk.add(name, uid)
    everyone = tuple(f"user:{uid}" for uid in (one, two, three, new_id()))
    publish(
        Delivery(everyone, b"1", skip_users=(one, three)),
        Delivery(everyone, b"2", only_session="c"),
    )
    await desk.read()
    assert desk.written == {"a": [], "b": [b"1"], "c": [b"2"]}


async def test_a_node_is_told_only_of_channels_it_listens_to(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid)
    publish(Delivery((f"user:{new_id()}", f"user:{uid}", f"user:{new_id()}"), b"1"))
    [(_, fields)] = await desk.client.xrange(desk.inbox._key)
    assert orjson.loads(fields[b"items"]) == [{"to": [f"user:{uid}"]}]


async def test_one_session_alone_joins_and_leaves(desk: Desk) -> None:
    uid, channel = new_id(), f"presence:{new_id()}"
    await desk.add("a", uid)
    await desk.add("b", uid)
    told = asyncio.create_task(desk.inbox._registry.run())
    publish(Membership("subscribe", uid, channel, b"in", session="b"))
    await desk.read()
    publish(Delivery((channel,), b"1"))
    await desk.read()
    publish(Membership("unsubscribe", uid, channel, b"out", session="b"))
    await desk.read()
    told.cancel()
    assert desk.written["a"] == []
    assert desk.written["b"] == [b"in", b"1", b"out"]
    assert channel not in desk.subscriptions


async def test_channels_change_before_their_frame_is_written(desk: Desk) -> None:
    uid, group = new_id(), f"group:{new_id()}"
    await desk.add("a", uid)
    publish(Membership("subscribe", uid, group, b"hint"))

    told = asyncio.create_task(desk.inbox._registry.run())
    await desk.read()
    publish(Delivery((group,), b"for members"))
    await desk.read()
    publish(Membership("unsubscribe", uid, group))
    await desk.read()
    await desk.inbox._registry.flush()
    publish(Delivery((group,), b"too late"))
    publish(Delivery((f"user:{uid}",), b"end"))
    await desk.read()
    told.cancel()
    assert desk.written["a"] == [b"hint", b"for members", b"end"]


async def test_leaving_wins_over_an_opening_that_is_under_way(desk: Desk) -> None:
    uid, group = new_id(), f"group:{new_id()}"
    session = await desk.add("a", uid)
    session.left = set()
    publish(Membership("unsubscribe", uid, group))
    await desk.read()
    assert session.left == {group}


async def test_a_device_is_closed_alone(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid, "phone")
    await desk.add("b", uid, "laptop")
    publish(Close(uid, 4001, "signed out", "phone", b"bye"))
    await desk.read()
    assert desk.closed == [("a", 4001)]
    assert desk.written["a"] == [b"bye"]
    assert desk.written["b"] == []


async def test_entries_that_are_lost_unread_are_noticed(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid)
    channel = (f"user:{uid}",)
    stream = desk.inbox._key
    for number in range(3):
        publish(Delivery(channel, b"%d" % number))
    await desk.read()
    await desk.inbox.check()
    assert not desk.inbox.lost
    assert await desk.client.xlen(stream) == 0, "what was read is dropped"
    for number in range(3):
        publish(Delivery(channel, b"%d" % number))
    await desk.inbox.check()
    assert not desk.inbox.lost
    await desk.client.xtrim(stream, maxlen=1, approximate=False)
    await desk.inbox.check()
    assert desk.inbox.lost


@pytest.mark.parametrize("value", [None, b"1"], ids=["lost", "gone back"])
async def test_a_redis_that_forgot_this_node_is_noticed(desk: Desk, value: bytes | None) -> None:
    alive = keys.node_alive(desk.node._node)
    for _ in range(3):
        await desk.node.beat()
    assert not desk.inbox.lost
    if value is None:
        await desk.client.delete(alive)
    else:
        await desk.client.set(alive, value)
    await desk.node.beat()
    assert desk.inbox.lost


async def test_starting_again_tells_channels_and_sessions(desk: Desk) -> None:

    uid = new_id()
    await desk.add("a", uid)
    await desk.client.delete(keys.channel(f"user:{uid}"), desk.inbox._key)
    told = asyncio.create_task(desk.inbox._registry.run())
    await desk.inbox._start_again()
    told.cancel()
    assert desk.written["a"] == [RESYNC]
    [opened] = desk.inbox._emitter._unsent
    assert opened.type == "session.opened"
    assert opened.data["again"]
    publish(Delivery((f"user:{uid}",), b"heard again"))
    await desk.read()
    assert desk.written["a"] == [RESYNC, b"heard again"]


async def test_a_dead_node_is_swept_and_a_living_one_is_not(desk: Desk) -> None:
    dead, channel = new_id(), f"user:{new_id()}"
    await desk.node.beat()
    await desk.client.sadd(keys.NODES, dead)
    await desk.client.sadd(keys.channel(channel), dead, desk.node._node)
    await desk.client.sadd(keys.node_channels(dead), channel)
    await desk.client.xadd(keys.node(dead), {"items": "[]"})
    await desk.node._sweep_dead()
    members = await desk.client.smembers(keys.channel(channel))
    assert members == {desk.node._node.encode()}
    [(_, fields)] = await desk.client.xrevrange(keys.EVENTS, count=1)
    [closed] = events.parse(fields)
    uid = channel.removeprefix("user:")
    assert closed.type == "session.closed"
    assert (closed.data["uid"], closed.data["sid"]) == (uid, "")
    assert closed.ts - closed.data["at"] >= 15_000
    assert not await desk.client.exists(keys.node(dead), keys.node_channels(dead))
    assert await desk.client.sismember(keys.NODES, desk.node._node)
    await desk.client.delete(keys.channel(channel))


async def test_what_came_together_is_one_write_in_one_buffer(desk: Desk) -> None:
    """A fan-out copies nothing, and however many frames wait: each session is written to once."""
    group, uids = f"group:{new_id()}", [new_id() for _ in "abc"]
    for sid, uid in zip("abc", uids, strict=True):
        session = await desk.add(sid, uid)
        desk.subscriptions.subscribe(session, group)
    await desk.inbox._registry._tell()
    publish(Delivery((group,), b"a frame of some length"))
    await desk.read()
    publish(*(Delivery((group,), b"frame %d" % number) for number in range(10)))
    publish(Delivery((group,), b"a late one"))
    await desk.read()
    for write in range(2):
        first, second, third = (desk.outlets[sid].writes[write] for sid in "abc")
        assert first is second
        assert second is third
    assert [len(desk.outlets[sid].writes) for sid in "abc"] == [2, 2, 2]
    assert len(desk.written["a"]) == 12


async def test_frames_and_changes_keep_their_order(desk: Desk) -> None:
    """A control takes effect between what was published before and after it."""
    uid, group = new_id(), f"group:{new_id()}"
    session = await desk.add("a", uid)
    await desk.add("b", new_id())
    desk.subscriptions.subscribe(desk.sessions["b"], group)
    await desk.inbox._registry._tell()
    told = asyncio.create_task(desk.inbox._registry.run())
    own = (f"user:{uid}",)
    publish(
        Delivery((group,), b"before"),
        Delivery(own, b"1"),
        Membership("subscribe", uid, group, b"in"),
        Delivery((group,), b"2"),
        Delivery(own, b"3"),
        Membership("unsubscribe", uid, group, b"out"),
        Delivery((group,), b"after"),
        Delivery(own, b"4"),
        Close(uid, 4001, "signed out", None, b"bye"),
    )
    await desk.read()
    told.cancel()
    assert desk.written["a"] == [b"1", b"in", b"2", b"3", b"out", b"4", b"bye"]
    assert desk.written["b"] == [b"before", b"2", b"after"]
    assert desk.closed == [(session.sid, 4001)]
