"""A large group: one message reaches everybody who is there, exactly once."""

import asyncio
import os
from collections import Counter

from local.stack import Stack
from shared import tokens
from shared.collections import DEVICES, USERS
from shared.ids import derived_id
from shared.stores import database
from tests.wire import Wire

MEMBERS = int(os.environ.get("MEMBERS", "1000"))
ONLINE = int(os.environ.get("ONLINE", "200"))
MESSAGES = 3


def people(name: str, count: int) -> list[str]:
    """The uids of so many people who never signed up."""
    uids = [derived_id(name, str(number)) for number in range(count)]
    database()[USERS].insert_many(
        [{"_id": uid, "username": f"{name}{number}"} for number, uid in enumerate(uids)]
    )
    database()[DEVICES].insert_many(
        [{"_id": uid, "uid": uid, "generation": 1, "used": 1, "signed_out": False} for uid in uids]
    )
    return uids


async def signed_in(url: str, uid: str) -> Wire:
    wire = await Wire.connect(url)
    await wire.open(tokens.issuer().access(uid, uid, 1, (), 600))
    return wire


async def test_one_message_reaches_everyone_once(stack: Stack, name: str) -> None:
    urls = stack.layout.connector_urls
    owner = await Wire.sign_in(urls[0], name)
    uids = people(name, MEMBERS)
    made = await owner.call("group.create", cid="1", name="large", members=uids[:1000])
    for start in range(1000, MEMBERS, 1000):
        batch = uids[start : start + 1000]
        await owner.call("group.invite", gid=made["gid"], cid=f"{start}", uids=batch)
    wires: list[Wire] = []
    for start in range(0, ONLINE, 100):
        part = range(start, min(start + 100, ONLINE))
        wires += await asyncio.gather(
            *(signed_in(urls[number % len(urls)], uids[number]) for number in part)
        )
    sent = [await owner.send(made["conv"], f"c{number}") for number in range(MESSAGES)]
    await asyncio.gather(*(wire.until("entry", MESSAGES, seconds=60) for wire in wires))
    expected = Counter(each["seq"] for each in sent)
    for wire in wires:
        assert Counter(each["seq"] for each in wire.entries(made["conv"])) == expected
        await wire.close()
    assert (await owner.call("group.get", gid=made["gid"]))["size"] == MEMBERS + 1
