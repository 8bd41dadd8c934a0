"""Many who change one group at once, on two connectors."""

import asyncio
import itertools
import random
from typing import Any

from local.stack import Stack
from shared.collections import GROUPS
from shared.stores import database
from tests.members import GroupView
from tests.wire import Wire

PEOPLE = 24
cids = (f"race{number}" for number in itertools.count())


async def whole(wire: Wire, conv: str) -> list[dict[str, Any]]:
    """All entries of a conversation, which are dense."""
    entries: list[dict[str, Any]] = []
    while True:
        after = entries[-1]["seq"] if entries else 0
        page = await wire.call("message.history", conv=conv, after=after, limit=200)
        entries += page["entries"]
        if not page["more"]:
            assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1))
            return entries


async def crowd(stack: Stack, name: str) -> list[Wire]:
    urls = itertools.cycle(stack.layout.connector_urls)
    return [await Wire.sign_in(next(urls), f"{name}{number}") for number in range(PEOPLE)]


async def test_joins_and_removals_at_once(stack: Stack, name: str) -> None:
    owner = await Wire.sign_in(stack.layout.connector_urls[0], name)
    people = await crowd(stack, name)
    made = await owner.call(
        "group.create", cid=next(cids), name="race", settings={"join": "open", "history": "all"}
    )
    gid, conv = made["gid"], made["conv"]
    chance, calls = random.Random(1), []
    for _ in range(14):
        for wire in people:
            calls.append(wire.start("group.join", gid=gid, cid=next(cids)))
            calls.append(wire.start("group.leave", gid=gid, cid=next(cids)))
            calls.append(wire.start("group.join", gid=gid, cid=next(cids)))
        uids = [wire.uid for wire in chance.sample(people, 3)]
        calls.append(owner.start("group.remove", gid=gid, cid=next(cids), uids=uids))
    assert len(calls) > 1000
    answers = await asyncio.wait_for(asyncio.gather(*calls), 90)
    told = {each["error"]["data"]["reason"] for each in answers if "error" in each}
    assert told <= {"already_member", "not_a_member"}
    await agree(owner, gid, conv)
    members = (await owner.call("group.members", gid=gid))["members"]
    inside = {each["uid"] for each in members}
    for wire in people:
        said = await wire.start(
            "message.send", conv=conv, cid="last", type="text", body={"text": "am I in?"}
        )
        assert ("result" in said) == (wire.uid in inside)


async def agree(owner: Wire, gid: str, conv: str) -> None:
    """What the log tells is what the record holds, and nothing is left to be done."""
    view = GroupView(owner.uid)
    for entry in await whole(owner, conv):
        view.apply(entry)
    known = await owner.call("group.get", gid=gid)
    members = await owner.call("group.members", gid=gid, limit=500)
    assert view.as_told() == (known, members["members"])
    document = database()[GROUPS].find_one({"_id": gid})
    assert document is not None
    assert "intent" not in document


async def test_a_member_hears_everything_between_joining_and_leaving(
    stack: Stack, name: str
) -> None:
    """While others write all the time: no entry in between is missed, none outside is heard."""
    urls = stack.layout.connector_urls
    owner = await Wire.sign_in(urls[0], name)
    guest = await Wire.sign_in(urls[1], name + "g")
    made = await owner.call("group.create", cid=next(cids), name="busy")
    gid, conv = made["gid"], made["conv"]
    stopping = asyncio.Event()

    async def chatter() -> None:
        number = itertools.count()
        while not stopping.is_set():
            await asyncio.gather(*(owner.send(conv, f"m{next(number)}") for _ in range(5)))

    writing = asyncio.create_task(chatter())
    ruler = await Wire.connect(urls[1])
    await ruler.open(owner.tokens["access_token"])
    try:
        for _ in range(8):
            heard, hints = len(guest.entries(conv)), len(await guest.until("conversation.hint", 0))
            await ruler.call("group.invite", gid=gid, cid=next(cids), uids=[guest.uid])
            hint = (await guest.until("conversation.hint", hints + 1))[-1]["last_seq"]
            await guest.until("entry", heard + 20)
            await ruler.call("group.remove", gid=gid, cid=next(cids), uids=[guest.uid])
            page = await ruler.call("message.history", conv=conv, limit=200)
            events = [each for each in page["entries"] if each["type"] == "group"]
            left = events[-1]["seq"]
            await ruler.until("entry", len(ruler.entries(conv)) + 10)
            live = [each["seq"] for each in guest.entries(conv)[heard:]]
            assert events[-1]["body"]["event"] == "removed"
            assert max(live) <= left
            assert set(range(hint + 1, left)) <= set(live) | await fetched(guest, conv, hint)
    finally:
        stopping.set()
        await writing


async def fetched(guest: Wire, conv: str, after: int) -> set[int]:
    """What is left to fetch for who did not hear the last moments before being removed."""
    page = await guest.call("message.history", conv=conv, after=after, limit=200)
    return {each["seq"] for each in page["entries"]}
