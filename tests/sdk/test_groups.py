"""Groups through the client library."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from stonechat import Client, Conflict, Forbidden
from stonechat.presence import Presences

from local.stack import Stack
from tests.wire import PASSWORD


@pytest.fixture
async def people(stack: Stack, name: str) -> AsyncIterator[list[Client]]:
    urls = stack.layout.connector_urls
    async with Client(urls[0]) as alice, Client(urls[1]) as bob, Client(urls[0]) as carol:
        for client, suffix in ((alice, "a"), (bob, "b"), (carol, "c")):
            await client.register(name + suffix, PASSWORD)
        yield [alice, bob, carol]


async def test_the_life_of_a_group(people: list[Client]) -> None:
    alice, bob, carol = people
    made = await alice.groups.create("team", [bob.uid], settings={"join": "approval"})
    group = await bob.groups.get(made.gid)
    assert (group.conv, group.name, group.size, group.role) == (made.conv, "team", 2, "member")
    assert group.settings["join"] == "approval"
    assert [each.gid for each in await bob.groups.list()] == [made.gid]
    roles = {each.uid: each.role for each in await bob.groups.members(made.gid)}
    assert roles == {alice.uid: "owner", bob.uid: "member"}
    assert await carol.groups.join(made.gid) == "pending"
    assert [each.uid for each in await alice.groups.requests(made.gid)] == [carol.uid]
    assert await alice.groups.approve(made.gid, carol.uid) == "member"
    await alice.groups.set_role(made.gid, bob.uid, "admin")
    await bob.groups.mute(made.gid, uid=carol.uid, until=2**50)
    with pytest.raises(Forbidden, match="muted"):
        await carol.send(conv=made.conv, text="x")
    await bob.groups.mute(made.gid, uid=carol.uid, until=0)
    await carol.groups.nickname(made.gid, "C")
    (first, *rest) = await alice.groups.members(made.gid, limit=1)
    assert rest == []
    everybody = await alice.groups.members(made.gid)
    assert everybody[0] == first
    assert {each.nickname for each in everybody} == {None, "C"}
    updated = await bob.groups.update(made.gid, name="crew", description="of the ship")
    assert (updated.name, updated.description) == ("crew", "of the ship")
    assert await bob.groups.remove(made.gid, [carol.uid]) == {carol.uid: "removed"}
    assert await bob.groups.block(made.gid, [carol.uid]) == {carol.uid: "blocked"}
    assert await bob.groups.unblock(made.gid, [carol.uid]) == {carol.uid: "none"}
    with pytest.raises(Conflict):
        await alice.groups.leave(made.gid)
    await alice.groups.transfer(made.gid, bob.uid)
    assert await alice.groups.leave(made.gid) == "left"
    await bob.groups.dismiss(made.gid)
    assert await bob.groups.list() == []


async def test_the_invited_are_asked(people: list[Client]) -> None:
    alice, bob, carol = people
    made = await alice.groups.create("asks", settings={"consent": True})
    asked = await alice.groups.invite(made.gid, [bob.uid, carol.uid])
    assert asked == {bob.uid: "invited", carol.uid: "invited"}
    (invitation,) = await bob.groups.invitations()
    assert (invitation.gid, invitation.name, invitation.by) == (made.gid, "asks", alice.uid)
    assert await bob.groups.accept(made.gid) == "member"
    assert await carol.groups.decline(made.gid) == "none"
    assert await carol.groups.invitations() == []


async def test_listed_groups_are_found(people: list[Client], name: str) -> None:
    alice, bob, _ = people
    made = await alice.groups.create(name, settings={"listed": True, "join": "open"})
    (found,) = await bob.groups.search(name)
    assert (found.gid, found.role) == (made.gid, "none")
    assert await bob.groups.join(made.gid) == "member"


async def test_what_is_watched_is_watched_again() -> None:
    """After a lost connection; what was unwatched, or refused, is not."""
    calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def call(method: str, params: dict[str, str]) -> None:
        calls.put_nowait((method, params["conv"]))

    presence = Presences(call)
    await presence.watch("g:one")
    await presence.watch("g:two")
    await presence.unwatch("g:one")
    for _ in range(3):
        calls.get_nowait()
    presence.opened()
    assert await asyncio.wait_for(calls.get(), 5) == ("presence.watch", "g:two")
    assert calls.empty()
