"""What sessions hear after a loss: asked for again, from functions that answer, fail and wait."""

import asyncio

import pytest

from connector import resync
from connector.answers import Answer, refused
from connector.backoff import Backoff
from connector.channel_sources import RESYNC
from connector.devices import Shown
from connector.session import SIGNED_OUT, Session
from shared import keys
from shared.bus import Delivery, Membership
from shared.errors import CallError, Reason
from shared.ids import new_id
from tests.connector.desks import Desk, desk, names

__all__ = ["desk"]  # a fixture


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in trouble is asked again in a moment."""
    monkeypatch.setattr(resync, "Backoff", lambda base, cap: Backoff(0.01, 0.02))


async def test_channels_are_replaced(desk: Desk) -> None:
    """Who was removed meanwhile hears nothing more, who was added hears it."""
    kept, lost, new = (f"group:{new_id()}" for _ in range(3))
    people = {sid: new_id() for sid in "abc"}
    for sid, uid in people.items():
        await desk.add(sid, uid, "did", kept, lost)
        desk.inside[uid] = [kept, new]
    async with desk.running():
        desk.inbox.lose()
        assert kept not in desk.subscriptions, "until they are asked for"
        for sid in people:
            await desk.until_told(sid, RESYNC)
        desk.publish(*(Delivery((name,), name.encode()) for name in (kept, lost, new)))
        for sid in people:
            await desk.until_told(sid, new.encode())
        for sid, uid in people.items():
            assert desk.sessions[sid].channels == {f"user:{uid}", kept, new}
            assert desk.written[sid] == [RESYNC, kept.encode(), new.encode()]
        assert await desk.client.smembers(keys.channel(lost)) == set()


async def test_one_hears_ones_own_channel_meanwhile(desk: Desk) -> None:
    uid, go = new_id(), asyncio.Event()

    async def give(session: Session) -> Answer:
        await go.wait()
        return names("group:x")

    desk.give = give
    await desk.add("a", uid)
    async with desk.running():
        desk.inbox.lose()
        await desk.until(lambda: ("session.channels", [uid]) in desk.asked)
        desk.publish(Delivery((f"user:{uid}",), b"for me"))
        await desk.until_told("a", b"for me")
        go.set()
        await desk.until_told("a", RESYNC)


async def test_what_is_left_meanwhile_is_not_joined(desk: Desk) -> None:
    uid, group, go = new_id(), f"group:{new_id()}", asyncio.Event()

    async def give(session: Session) -> Answer:
        await go.wait()
        return names(group)

    desk.give = give
    session = await desk.add("a", uid, "did", group)
    async with desk.running():
        desk.inbox.lose()
        await desk.until(lambda: ("session.channels", [uid]) in desk.asked)
        desk.publish(Membership("unsubscribe", uid, group, b"out", rev=2))
        await desk.until_told("a", b"out")
        go.set()
        await desk.until_told("a", RESYNC)
    assert session.channels == {f"user:{uid}"}


async def test_a_function_that_fails_is_asked_again(desk: Desk) -> None:
    """For those for whom it failed, who hear no group until then."""
    people, failing = {sid: new_id() for sid in "abc"}, True
    for sid, uid in people.items():
        await desk.add(sid, uid, "did", "group:x")

    async def give(session: Session) -> Answer:
        if failing and session.sid == "b":
            return refused(CallError(Reason.UNAVAILABLE))
        return names("group:x")

    desk.give = give
    async with desk.running():
        desk.inbox.lose()
        for sid in "ac":
            await desk.until_told(sid, RESYNC)
        asked = len(desk.asked)
        await desk.until(lambda: len(desk.asked) > asked + 4)
        assert desk.written["b"] == []
        assert desk.sessions["b"].channels == {f"user:{people['b']}"}
        failing = False
        await desk.until_told("b", RESYNC)
        assert "group:x" in desk.sessions["b"].channels
        assert desk.asked.count(("session.channels", [people["a"], people["b"]])) == 1
        await desk.until(lambda: not desk.resync._tasks)


async def test_who_was_signed_out_meanwhile_is_closed(desk: Desk) -> None:
    """As Redis says it, or the record where Redis has lost it."""
    uid = new_id()
    await desk.mark(3)
    for sid, device in (("a", "said"), ("b", "recorded"), ("c", "alive")):
        await desk.add(sid, uid, device, "group:x")
    await desk.client.set(keys.of(3, keys.device("said")), "0")
    await desk.client.set(keys.of(2, keys.device("alive")), "0")
    desk.inside[uid], desk.dead = ["group:x"], {"recorded"}
    async with desk.running():
        desk.inbox.lose()
        await desk.until_told("c", RESYNC)
    assert sorted(desk.closed) == [("a", SIGNED_OUT), ("b", SIGNED_OUT)]
    assert desk.written["a"] == desk.written["b"] == []
    for sid in "ab":
        assert "group:x" not in desk.sessions[sid].channels


async def test_a_loss_meanwhile_begins_it_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered before counts no more."""
    uid, old, new = new_id(), f"group:{new_id()}", f"group:{new_id()}"
    go = asyncio.Event()

    async def give(session: Session) -> Answer:
        if go.is_set():
            return names(new)
        await go.wait()
        return names(old)

    desk.give = give
    session = await desk.add("a", uid, "did", old)
    async with desk.running():
        desk.inbox.lose()
        await desk.until(lambda: ("session.channels", [uid]) in desk.asked)
        desk.inbox._again_at = 0.0
        desk.inbox.lose()
        go.set()
        await desk.until_told("a", RESYNC)
    assert session.channels == {f"user:{uid}", new}
    assert desk.written["a"] == [RESYNC]


async def test_who_goes_meanwhile_is_not_asked_for(desk: Desk) -> None:
    gone = await desk.add("a", new_id())
    await desk.add("b", new_id())
    gone.closing = True
    async with desk.running():
        desk.inbox.lose()
        await desk.until_told("b", RESYNC)
    assert [uids for _, uids in desk.asked] == [[desk.sessions["b"].uid]] * 2
    assert desk.written["a"] == []


async def test_a_device_is_believed_in_its_generation(desk: Desk) -> None:
    """Who is said to be alive by a generation that is past is looked up."""
    session = await desk.add("a", new_id())
    shown = [Shown(session, session.access)] if session.access else []
    await desk.mark(3)
    await desk.client.set(keys.of(3, keys.device("did")), b"1:1")
    assert await desk.devices.refusals(shown, 5) == [None]
    assert desk.asked == [], "Redis said it"
    desk.dead = {"did"}
    await desk.mark(4)
    [refusal] = await desk.devices.refusals(shown, 5)
    assert refusal is not None
    assert refusal.reason == Reason.UNAUTHENTICATED
    assert desk.asked == [("session.check", [session.uid])]
    await desk.client.set(keys.of(4, keys.device("did")), b"0")
    assert [str(each) for each in await desk.devices.refusals(shown, 5)] == [str(refusal)]
    assert len(desk.asked) == 1
    await desk.client.delete(keys.GENERATION)
    assert await desk.devices.refusals(shown, 5) != [None]
    assert len(desk.asked) == 2
