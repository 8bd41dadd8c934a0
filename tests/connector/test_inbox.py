"""The node's stream on a real Redis: what is delivered to whom, and what is noticed when lost."""

import asyncio
from typing import Any

import orjson
import pytest

from connector.channel_sources import RESYNC
from shared import events, keys, rpc
from shared.bus import Close, Delivery, Membership
from shared.clock import now_ms
from shared.ids import new_id
from tests.connector.desks import Desk, desk

__all__ = ["desk"]  # a fixture


async def test_a_frame_reaches_each_listener_once(desk: Desk) -> None:
    one, two = new_id(), new_id()
    await desk.add("a", one)
    await desk.add("b", one)
    await desk.add("c", two)
    both = (f"user:{one}", f"user:{two}")
    desk.publish(Delivery(both, b"1"), Delivery(both, b"2", skip_session="a"))
    desk.publish(
        Delivery((f"user:{new_id()}",), b"nobody's"), Delivery(both, b"3", skip_users=(one,))
    )
    await desk.read()
    assert desk.written == {"a": [b"1"], "b": [b"1", b"2"], "c": [b"1", b"2", b"3"]}


async def test_some_of_the_listeners_are_left_out(desk: Desk) -> None:
    one, two, three = new_id(), new_id(), new_id()
    for name, uid in zip("abc", (one, two, three), strict=True):
        await desk.add(name, uid)
    everyone = tuple(f"user:{uid}" for uid in (one, two, three, new_id()))
    desk.publish(
        Delivery(everyone, b"1", skip_users=(one, three)),
        Delivery(everyone, b"2", only_session="c"),
    )
    await desk.read()
    assert desk.written == {"a": [], "b": [b"1"], "c": [b"2"]}


async def test_a_node_is_told_only_of_channels_it_listens_to(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid)
    desk.publish(Delivery((f"user:{new_id()}", f"user:{uid}", f"user:{new_id()}"), b"1"))
    [(_, fields)] = await desk.client.xrange(desk.inbox._key)
    assert orjson.loads(fields[b"items"]) == [{"to": [f"user:{uid}"]}]


async def test_one_session_alone_joins_and_leaves(desk: Desk) -> None:
    uid, channel = new_id(), f"presence:{new_id()}"
    await desk.add("a", uid)
    await desk.add("b", uid)
    told = asyncio.create_task(desk.registry.run())
    desk.publish(Membership("subscribe", uid, channel, b"in", session="b"))
    await desk.read()
    desk.publish(Delivery((channel,), b"1"))
    await desk.read()
    desk.publish(Membership("unsubscribe", uid, channel, b"out", session="b"))
    await desk.read()
    told.cancel()
    assert desk.written["a"] == []
    assert desk.written["b"] == [b"in", b"1", b"out"]
    assert channel not in desk.subscriptions


async def test_channels_change_before_their_frame_is_written(desk: Desk) -> None:
    uid, group = new_id(), f"group:{new_id()}"
    await desk.add("a", uid)
    desk.publish(Membership("subscribe", uid, group, b"hint"))

    told = asyncio.create_task(desk.registry.run())
    await desk.read()
    desk.publish(Delivery((group,), b"for members"))
    await desk.read()
    desk.publish(Membership("unsubscribe", uid, group))
    await desk.read()
    await desk.registry.flush()
    desk.publish(Delivery((group,), b"too late"))
    desk.publish(Delivery((f"user:{uid}",), b"end"))
    await desk.read()
    told.cancel()
    assert desk.written["a"] == [b"hint", b"for members", b"end"]


async def test_leaving_wins_over_an_opening_that_is_under_way(desk: Desk) -> None:
    uid, group = new_id(), f"group:{new_id()}"
    session = await desk.add("a", uid)
    session.left = set()
    desk.publish(Membership("unsubscribe", uid, group))
    await desk.read()
    assert session.left == {group}


async def test_a_device_is_closed_alone(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid, "phone")
    await desk.add("b", uid, "laptop")
    desk.publish(Close(uid, 4001, "signed out", "phone", b"bye"))
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
        desk.publish(Delivery(channel, b"%d" % number))
    await desk.read()
    await desk.inbox.check()
    assert not desk.inbox.lost
    assert await desk.client.xlen(stream) == 0, "what was read is dropped"
    for number in range(3):
        desk.publish(Delivery(channel, b"%d" % number))
    await desk.inbox.check()
    assert not desk.inbox.lost
    await desk.client.xtrim(stream, maxlen=1, approximate=False)
    await desk.inbox.check()
    assert desk.inbox.lost


@pytest.mark.parametrize("sent", [0, 3], ids=["and nothing came", "and something came"])
async def test_a_stream_that_was_removed_is_noticed(desk: Desk, sent: int) -> None:
    uid = new_id()
    await desk.add("a", uid)
    for _ in range(5):
        desk.publish(Delivery((f"user:{uid}",), b"x"))
    await desk.read()
    await desk.client.delete(desk.inbox._key)
    for _ in range(sent):
        desk.publish(Delivery((f"user:{uid}",), b"y"))
    await desk.inbox.check()
    assert desk.inbox.lost


@pytest.mark.parametrize("value", [None, b"1"], ids=["lost", "gone back"])
async def test_a_redis_that_forgot_this_node_is_noticed(desk: Desk, value: bytes | None) -> None:
    alive = keys.node_alive(desk.node_id)
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
    async with desk.running():
        desk.inbox.lose()
        await desk.until_told("a", RESYNC)
        [opened] = desk.emitter._unsent
        assert opened.type == "session.opened"
        assert opened.data["again"]
        desk.publish(Delivery((f"user:{uid}",), b"heard again"))
        await desk.until_told("a", b"heard again")
    assert desk.written["a"] == [RESYNC, b"heard again"]


async def test_a_dead_node_is_swept_and_a_living_one_is_not(desk: Desk) -> None:
    dead, channel = new_id(), f"user:{new_id()}"
    await desk.node.beat()
    await desk.client.sadd(keys.NODES, dead)
    await desk.client.sadd(keys.channel(channel), dead, desk.node_id)
    await desk.client.sadd(keys.node_channels(dead), channel)
    await desk.client.xadd(keys.node(dead), {"items": "[]"})
    await desk.node._sweep_dead()
    members = await desk.client.smembers(keys.channel(channel))
    assert members == {desk.node_id.encode()}
    [(_, fields)] = await desk.client.xrevrange(keys.EVENTS, count=1)
    [closed] = events.parse(fields)
    uid = channel.removeprefix("user:")
    assert closed.type == "session.closed"
    assert (closed.data["uid"], closed.data["sid"]) == (uid, "")
    assert closed.ts - closed.data["at"] >= 15_000
    assert not await desk.client.exists(keys.node(dead), keys.node_channels(dead))
    assert await desk.client.sismember(keys.NODES, desk.node_id)
    await desk.client.delete(keys.channel(channel))


async def test_what_came_together_is_one_write_in_one_buffer(desk: Desk) -> None:
    """A fan-out copies nothing, and however many frames wait: each session is written to once."""
    group, uids = f"group:{new_id()}", [new_id() for _ in "abc"]
    for sid, uid in zip("abc", uids, strict=True):
        session = await desk.add(sid, uid)
        desk.subscriptions.subscribe(session, group)
    await desk.registry._tell()
    desk.publish(Delivery((group,), b"a frame of some length"))
    await desk.read()
    desk.publish(*(Delivery((group,), b"frame %d" % number) for number in range(10)))
    desk.publish(Delivery((group,), b"a late one"))
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
    await desk.registry._tell()
    told = asyncio.create_task(desk.registry.run())
    own = (f"user:{uid}",)
    desk.publish(
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


@pytest.mark.parametrize("after", [None, 8], ids=["emptied", "another generation"])
async def test_nothing_is_delivered_that_was_published_after_a_loss(
    desk: Desk, after: int | None
) -> None:
    """Though Redis knows the node's channels again, as it does when a session is opened."""
    group, (one, two) = f"group:{new_id()}", (new_id(), new_id())
    await desk.mark(7)
    await desk.add("a", one, "did", group)
    async with desk.running():
        desk.publish(Delivery((group,), b"before"))
        await desk.until_told("a", b"before")
        desk.give = never
        await desk.client.flushdb()
        if after is not None:
            await desk.mark(after)
        await desk.client.sadd(keys.channel(group), desk.node_id)
        desk.publish(Delivery((group,), b"not for everybody any more"))
        await desk.until(lambda: bool(desk.asked))
        await desk.add("b", two, "did", group)
        desk.publish(Delivery((group,), b"for who was asked for"))
        await desk.until_told("b", b"for who was asked for")
    assert desk.written["a"] == [b"before"]
    assert desk.written["b"] == [b"for who was asked for"]


async def never(session: Any) -> Any:
    await asyncio.Event().wait()


async def test_the_first_generation_is_no_loss(desk: Desk) -> None:
    uid = new_id()
    await desk.add("a", uid)
    await desk.read()
    await desk.mark(1)
    desk.publish(Delivery((f"user:{uid}",), b"1"))
    await desk.read()
    assert desk.written["a"] == [b"1"]
    assert not desk.inbox.lost


async def test_a_node_that_was_swept_delivers_nothing_until_it_starts_again(desk: Desk) -> None:
    """Though another session of it joined the channel before its next heartbeat."""
    group = f"group:{new_id()}"
    await desk.add("a", new_id(), "did", group)
    await desk.node.beat()
    await desk.read()
    await desk.node._sweep(desk.node_id)
    await desk.add("b", new_id(), "did", group)
    await desk.client.sadd(keys.channel(group), desk.node_id)
    desk.publish(Delivery((group,), b"a secret"))
    await desk.read()
    assert desk.inbox.lost
    assert desk.written["a"] == []
    assert group not in desk.subscriptions


async def test_a_beat_that_was_lost_is_noticed_once(desk: Desk) -> None:
    await desk.add("a", new_id())
    async with desk.running(beating=True):
        await desk.until(lambda: desk.pulse.sure > 1)
        await desk.client.delete(keys.node_alive(desk.node_id))
        await desk.until_told("a", RESYNC)
        beats = desk.pulse.sure
        await desk.until(lambda: desk.pulse.sure > beats + 2)
        assert not desk.inbox.lost
    assert desk.written["a"] == [RESYNC]


async def test_a_gap_is_noticed_before_what_is_behind_it(desk: Desk) -> None:
    """As long as it leaves as much as is kept for a slow node."""
    uid = new_id()
    await desk.add("a", uid)
    channel = (f"user:{uid}",)
    for number in range(10):
        desk.publish(Delivery(channel, b"%d" % number))
    await desk.read()
    assert len(desk.written["a"]) == 10, "who is behind is only looked at"
    assert not desk.inbox.lost
    for number in range(10):
        desk.publish(Delivery(channel, b"%d" % number))
    await desk.client.xtrim(desk.inbox._key, maxlen=3, approximate=False)
    await desk.read()
    assert desk.inbox.lost
    assert len(desk.written["a"]) == 10


async def test_what_came_before_a_loss_was_noticed_is_delivered_no_more(desk: Desk) -> None:
    """A loss that is noticed while entries are delivered holds for those behind."""
    uid = new_id()
    await desk.add("a", uid)
    desk.publish(Delivery((f"user:{uid}",), b"1"))
    entries = await desk.inbox._next()
    desk.inbox.lose()
    await desk.inbox.deliver(entries)
    assert desk.written["a"] == []


HINTS = [
    ({}, None),
    ({"seq": b"7"}, 7),
    ({"tail": b"9:1700000000000:x"}, 9),
    ({"seq": b"7", "tail": b"9:1700000000000:x"}, 9),
    ({"seq": b"12", "tail": b"9:1700000000000:x"}, 12),
    ({"seq": b"0"}, None),
]


@pytest.mark.parametrize(("kept", "end"), HINTS)
async def test_who_joins_is_told_how_far_it_goes(
    desk: Desk, kept: dict[str, bytes], end: int | None
) -> None:
    uid, gid = new_id(), new_id()
    conv, spell = f"g:{gid}", {"seq": keys.sequence, "tail": keys.tail}
    await desk.mark(5)
    await desk.add("a", uid)
    for kind, value in kept.items():
        await desk.client.set(keys.of(5, spell[kind](conv)), value)
        await desk.client.set(keys.of(4, spell[kind](conv)), b"99:1:x")
    async with desk.running():
        desk.publish(Membership("subscribe", uid, f"group:{gid}", hint=conv))
        await desk.until(lambda: bool(desk.written["a"]))
    hint = {"conv": conv, "last_seq": end}
    told = RESYNC if end is None else rpc.notification("conversation.hint", hint)
    assert desk.written["a"] == [told]


async def test_a_hint_of_another_generation_is_none(desk: Desk) -> None:
    conv = f"g:{new_id()}"
    await desk.mark(5)
    await desk.read()
    await desk.client.set(keys.of(5, keys.sequence(conv)), b"7")
    await desk.mark(6)
    assert await desk.inbox._hints({conv}) == {conv: RESYNC}


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("still", [False, True], ids=["gone", "inside"])
async def test_a_late_join_is_asked_for_again(desk: Desk, late: bool, still: bool) -> None:
    uid, group = new_id(), f"group:{new_id()}"
    desk.inside[uid] = [group] if still else []
    session = await desk.add("a", uid)
    at = now_ms() - (10_100 if late else 9_000)
    async with desk.running():
        desk.publish(Membership("subscribe", uid, group, b"in", rev=3, at=at))
        await desk.until(lambda: bool(desk.written["a"]))
    assert desk.written["a"] == [RESYNC if late else b"in"]
    assert (group in session.channels) == (still or not late)
    assert ("session.channels", [uid]) in desk.asked or not late


async def test_what_goes_along_with_a_channel_is_kept_with_it(desk: Desk) -> None:
    """A group's presence is watched as long as one belongs to it, and by who asked for it."""
    uid, one, two = new_id(), f"group:{new_id()}", f"group:{new_id()}"
    session, other = await desk.add("a", uid, "x", one, two), await desk.add("b", uid, "y", one)
    desk.inside[uid] = [one]
    async with desk.running():
        for name in (one, two):
            watched = Membership(
                "subscribe", uid, name.replace("group", "presence"), session="a", along=name
            )
            desk.publish(watched)
        await desk.until(lambda: len(session.channels) == 5)
        desk.inbox.lose()
        await desk.until_told("b", RESYNC)
        await desk.until_told("a", RESYNC)
    watched_still = one.replace("group", "presence")
    assert session.channels == {f"user:{uid}", one, watched_still}
    assert other.channels == {f"user:{uid}", one}
    desk.publish(Membership("unsubscribe", uid, watched_still, session="a"))
    await desk.read()
    assert session.along == {}
