"""Presence from outside: who is shown to be there, to whom, and what nobody learns."""

import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from local.layout import on_free_ports
from local.stack import Stack
from shared import channels, keys
from shared.errors import Code
from tests import door
from tests.conftest import CHEAP_PASSWORDS
from tests.logs import errors
from tests.wire import Refused, Wire

GRACE = 2.0


class House:
    """A stack of its own, which tells of people going offline sooner than usual. The marker is
    somebody who is always there."""

    marker: Wire

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.urls = stack.layout.connector_urls
        self.redis: Redis = Redis(port=stack.layout.redis_port or 0)

    async def person(self, on: int = 0, name: str = "") -> Wire:
        return await Wire.sign_in(self.urls[on], name or f"u{secrets.token_hex(6)}")

    async def device(self, of: Wire, on: int, name: str = "other") -> Wire:
        """Another session of a person."""
        wire = await Wire.connect(self.urls[on])
        await wire.open(of.tokens["access_token"], name)
        return wire

    async def friends(self, one: Wire, *others: Wire) -> None:
        for other in others:
            await one.call("friend.request", uid=other.uid, cid=secrets.token_hex(4))
            await other.call("friend.request", uid=one.uid, cid=secrets.token_hex(4))

    async def block(self, one: Wire, other: Wire) -> None:
        await one.call("friend.block", uid=other.uid, cid=secrets.token_hex(4))

    async def settle(self, connectors: Iterable[int] = (0, 1)) -> None:
        """Returns when all that happened was told: each connector has written what it noted
        before this, and all of it was handled."""
        for on in connectors:
            mark = await self.device(self.marker, on, "mark")
            async with asyncio.timeout(30):
                while not await self._is_written(mark.sid):
                    await asyncio.sleep(0.01)
            await mark.close()
        async with asyncio.timeout(30):
            while True:
                [group] = await self.redis.xinfo_groups(keys.EVENTS)
                if group["pending"] == 0 and group["lag"] == 0:
                    return
                await asyncio.sleep(0.01)

    async def _is_written(self, sid: str) -> bool:
        recent = await self.redis.xrevrange(keys.EVENTS, count=50)
        return any(sid.encode() in fields[b"events"] for _, fields in recent)

    async def connected(self, uid: str, holds: bool) -> None:
        async with asyncio.timeout(30):
            while await self.redis.exists(keys.channel(channels.user(uid))) != holds:
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="stonechat-presence-") as folder:
        quick = {
            "STONECHAT_PRESENCE_GRACE": str(GRACE),
            "STONECHAT_EVENTS_CLAIM_AFTER": "2",
            "STONECHAT_EVENTS_ATTEMPTS": "2",
            "STONECHAT_PRESENCE_WATCH_LIMIT": "5",
        }
        stack = Stack(on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS, **quick))
        await stack.start()
        made = House(stack)
        made.marker = await made.person()
        try:
            yield made
        finally:
            await made.redis.aclose()
            await asyncio.shield(stack.stop())
        assert errors(stack.layout.logs) == []


def told(wire: Wire, of: Wire) -> list[str]:
    """The statuses of somebody that this socket was told, in order."""
    return [each["status"] for each in notices(wire, of)]


def notices(wire: Wire, of: Wire) -> list[dict[str, Any]]:
    found = [each["params"] for each in wire.notifications if each["method"] == "presence"]
    return [each for each in found if each["uid"] == of.uid]


async def until_told(wire: Wire, of: Wire, *statuses: str) -> list[dict[str, Any]]:
    """Returns what was told as soon as it is at least that many, and holds them against these."""
    async with asyncio.timeout(30):
        while len(told(wire, of)) < len(statuses):
            await asyncio.sleep(0.01)
    assert told(wire, of) == list(statuses)
    return notices(wire, of)


async def presence(wire: Wire, *of: Wire) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await wire.call("presence.get", uids=[x.uid for x in of]))[
        "presence"
    ]
    return found


async def group(owner: Wire, *members: Wire) -> str:
    uids = [member.uid for member in members]
    made = await owner.call("group.create", cid=secrets.token_hex(4), name="g", members=uids)
    return str(made["conv"])


async def close(wires: Iterable[Wire]) -> None:
    for wire in wires:
        await wire.close()


async def test_friends_learn_who_comes_and_goes_of_all_devices_once(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    phone = await house.device(bob, 0)
    await house.settle()
    assert told(alice, bob) == [], "bob was there before they were friends"
    await bob.close()
    await house.settle()
    assert told(alice, bob) == []
    assert [each["status"] for each in await presence(alice, bob)] == ["online"]
    await phone.close()
    [gone] = await until_told(alice, bob, "offline")
    assert await presence(alice, bob) == [gone]
    assert isinstance(gone["last_seen"], int)
    assert set(gone) == {"uid", "status", "last_seen"}
    again = await house.device(bob, 1)
    assert (await until_told(alice, bob, "offline", "online"))[1] == {
        "uid": bob.uid,
        "status": "online",
        "last_seen": None,
    }
    await close((alice, again))


async def test_a_reconnect_shows_nothing(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.friends(alice, bob)
    await house.settle()
    bob.cut()
    await house.connected(bob.uid, False)
    again = await house.device(bob, 0)
    await house.settle()
    assert "offline" not in told(alice, bob)
    await close((alice, again))


async def test_who_looked_in_between_is_told_of_the_reconnect(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    bob.cut()
    await house.connected(bob.uid, False)
    assert [each["status"] for each in await presence(alice, bob)] == ["offline"]
    again = await house.device(bob, 0)
    await until_told(alice, bob, "online")
    await house.settle()
    assert told(alice, bob) == ["online"]
    await close((alice, again))


async def test_what_one_chooses_is_told_to_friends_and_own_devices(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    phone = await house.device(bob, 0)
    await house.settle()
    await house.friends(alice, bob)
    await bob.call("presence.set", status="busy", text="in a meeting", cid="c1")
    [busy] = await until_told(alice, bob, "busy")
    assert busy == {"uid": bob.uid, "status": "busy", "last_seen": None, "text": "in a meeting"}
    assert await until_told(phone, bob, "busy") == [busy]
    assert await presence(alice, bob) == await presence(bob, bob) == [busy]
    await bob.call("presence.set", status="busy", text="in a meeting", cid="c1")
    await bob.call("presence.set", status="busy", text="on the phone")
    assert [each.get("text") for each in await until_told(alice, bob, "busy", "busy")] == [
        "in a meeting",
        "on the phone",
    ]
    await bob.call("presence.set", status="away")
    assert "text" not in (await until_told(alice, bob, "busy", "busy", "away"))[2]
    await close((bob, phone))
    await until_told(alice, bob, "busy", "busy", "away", "offline")
    again = await house.device(bob, 1)
    await until_told(alice, bob, "busy", "busy", "away", "offline", "away")
    assert told(bob, bob) == []
    await close((alice, again))


async def test_the_invisible_are_seen_by_themselves_alone(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    phone = await house.device(bob, 0)
    await house.settle()
    await house.friends(alice, bob)
    await bob.call("presence.set", status="invisible", text="hiding")
    [gone] = await until_told(alice, bob, "offline")
    assert await presence(alice, bob) == [gone]
    assert gone["last_seen"] is not None
    await until_told(phone, bob, "invisible")
    assert [each["status"] for each in await presence(bob, bob)] == ["invisible"]
    await close((bob, phone))
    await house.settle()
    assert await presence(alice, bob) == [gone], "leaving unseen is no last time of being seen"
    again = await house.device(bob, 0)
    await house.settle()
    assert told(alice, bob) == ["offline"]
    await again.call("presence.set", status="online")
    await until_told(alice, bob, "offline", "online")
    await close((alice, again))


async def test_who_may_see_whom(house: House) -> None:
    alice, friend, member, stranger, blocked = [await house.person(n % 2) for n in range(5)]
    await house.friends(alice, friend)
    await house.block(alice, blocked)
    conv = await group(alice, member, blocked)
    await house.settle()
    hidden = {"uid": alice.uid, "status": "offline"}
    for wire in (friend, member):
        assert await presence(wire, alice) == [
            {"uid": alice.uid, "status": "online", "last_seen": None}
        ]
    for wire in (stranger, blocked):
        assert await presence(wire, alice) == [hidden]
        assert await presence(wire, wire) == [
            {"uid": wire.uid, "status": "online", "last_seen": None}
        ]
    nobody = {"uid": "nobody000000", "status": "offline"}
    found = await friend.call("presence.get", uids=["nobody000000", alice.uid, "nobody000000"])
    assert [each["uid"] for each in found["presence"]] == ["nobody000000", alice.uid]
    assert found["presence"][0] == nobody
    await house.block(alice, friend)
    assert await presence(friend, alice) == [hidden]
    await member.call("group.leave", gid=conv[2:], cid="leave")
    assert await presence(member, alice) == [hidden]
    await alice.call("presence.set", status="busy")
    await house.settle()
    assert [told(wire, alice)[-1:] for wire in (friend, member, stranger, blocked)] == [
        told(friend, alice)[-1:],
        [],
        [],
        [],
    ]
    assert "busy" not in told(friend, alice)
    await close((alice, friend, member, stranger, blocked))


async def test_limits_of_params(house: House) -> None:
    alice = await house.person()
    ids = [f"somebody{number:04}" for number in range(201)]
    assert len((await alice.call("presence.get", uids=ids[:200]))["presence"]) == 200
    for method, params in (
        ("presence.get", {"uids": ids}),
        ("presence.get", {"uids": []}),
        ("presence.set", {"status": "offline"}),
        ("presence.set", {"status": "busy", "text": "x" * 141}),
        ("presence.watch", {"conv": f"u:{alice.uid}"}),
    ):
        with pytest.raises(Refused) as refused:
            await alice.call(method, **params)
        assert refused.value.code == Code.INVALID_PARAMS
    await alice.call("presence.set", status="busy", text="x" * 140)
    await alice.close()


async def test_watching_a_group(house: House) -> None:
    alice, bob, carol, dave = [await house.person(number % 2) for number in range(4)]
    conv = await group(alice, bob, carol)
    await house.block(carol, alice)
    tablet = await house.device(alice, 1)
    await house.settle()
    await tablet.call("presence.watch", conv=conv)
    await until_told(tablet, bob, "online")
    await bob.call("presence.set", status="away")
    await until_told(tablet, bob, "online", "away")
    await carol.call("presence.set", status="busy")
    await dave.call("presence.set", status="busy")
    await alice.call("presence.set", status="invisible")
    await until_told(tablet, alice, "invisible")
    await tablet.call("presence.unwatch", conv=conv)
    await bob.call("presence.set", status="busy")
    await house.settle()
    assert told(tablet, bob) == ["online", "away"]
    assert told(tablet, carol) == told(tablet, dave) == []
    assert told(tablet, alice) == ["invisible"], "one is not told twice of oneself"
    assert told(alice, bob) == [], "only the session that watches is told"

    await tablet.call("presence.watch", conv=conv)
    await until_told(tablet, bob, "online", "away", "busy")
    await alice.call("group.transfer", gid=conv[2:], cid="t", uid=bob.uid)
    await bob.call("group.remove", gid=conv[2:], cid="r", uids=[alice.uid])
    await bob.call("presence.set", status="away")
    await house.settle()
    assert told(tablet, bob) == ["online", "away", "busy"]
    with pytest.raises(Refused) as refused:
        await tablet.call("presence.watch", conv=conv)
    assert refused.value.reason == "not_a_member"
    await close((alice, bob, carol, dave, tablet))


async def test_the_presence_of_a_large_group_is_not_told_at_once(house: House) -> None:
    people = [await house.person(number % 2) for number in range(6)]
    conv = await group(*people)
    await house.settle()
    await people[0].call("presence.watch", conv=conv)
    await people[1].call("presence.set", status="busy")
    await until_told(people[0], people[1], "busy")
    assert told(people[0], people[2]) == []
    await close(people)


async def test_watching_needs_a_session(house: House) -> None:
    alice = await house.person()
    conv = await group(alice)
    url = house.stack.layout.connector_urls[0]
    watch = door.request("presence.watch", conv=conv)
    token = alice.tokens["access_token"]
    assert await door.refusal(url, watch, token) == (400, "invalid_request")
    await alice.close()


async def test_no_client_reaches_a_handler_of_events(house: House) -> None:
    alice = await house.person()
    data = {"uid": alice.uid, "did": "", "sid": "", "at": 0}
    with pytest.raises(Refused) as refused:
        await alice.call("session.closed", **data)
    assert refused.value.reason == "unknown_method"
    url, closed = house.stack.layout.connector_urls[0], door.request("session.closed", **data)
    token = alice.tokens["access_token"]
    assert await door.refusal(url, closed, token) == (404, "unknown_method")
    await alice.close()


async def test_the_functions_own_address_opens_to_nobody(house: House) -> None:
    alice = await house.person()
    bearer = {"Authorization": f"Bearer {alice.tokens['access_token']}"}
    address = f"{house.stack.layout.gateway_url}/function/presence"
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            address, content=door.request("presence.get", uids=[alice.uid]), headers=bearer
        )
    assert answer.status_code == 401
    assert answer.json()["error"]["data"]["reason"] == "unauthenticated"
    await alice.close()


async def test_a_function_that_dies_misses_nobody(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    for pid in await house.stack.function_pids("presence"):
        os.kill(pid, signal.SIGKILL)
    await bob.close()
    await until_told(alice, bob, "offline")
    await alice.close()


async def test_a_drained_connector_has_its_people_leave(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    await house.stack.connectors[1].stop()
    await until_told(alice, bob, "offline")
    await house.stack.connectors[1].start()
    await alice.close()


async def test_a_killed_connector_has_its_people_leave_within_20_seconds(house: House) -> None:
    alice, bob, carol = await house.person(0), await house.person(1), await house.person(1)
    await house.settle()
    await house.friends(alice, bob, carol)
    await house.stack.connectors[1].kill()
    again = await house.device(carol, 0)
    async with asyncio.timeout(20):
        [gone] = await until_told(alice, bob, "offline")
    assert gone["last_seen"] is not None
    await house.settle([0])
    assert "offline" not in told(alice, carol)
    await house.stack.connectors[1].start()
    await close((alice, again))


async def test_a_connector_that_slept_has_its_people_back(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    house.stack.connectors[1].signal(signal.SIGSTOP)
    try:
        await until_told(alice, bob, "offline")
    finally:
        house.stack.connectors[1].signal(signal.SIGCONT)
    await until_told(alice, bob, "offline", "online")
    await close((alice, bob))


async def test_a_redis_that_lost_everything_learns_it_again(house: House) -> None:
    alice, bob = await house.person(0), await house.person(1)
    await house.settle()
    await house.friends(alice, bob)
    await house.redis.flushall()
    await asyncio.gather(*(wire.until("session.resync", 1) for wire in (alice, bob)))
    await house.connected(bob.uid, True)
    await house.settle()
    assert told(alice, bob) == [], "nothing changed"
    await bob.close()
    await until_told(alice, bob, "offline")
    await alice.close()
