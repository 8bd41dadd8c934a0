"""What others get to see, live: of messages from before one's time, of groups that ended."""

import pytest

from local.stack import Stack
from tests.wire import Wire


@pytest.fixture
async def people(stack: Stack, name: str) -> list[Wire]:
    urls = stack.layout.connector_urls
    return [await Wire.sign_in(urls[n % 2], f"{name}{n}") for n in range(4)]


async def test_an_edit_of_what_came_before_ones_time(people: list[Wire]) -> None:
    owner, member, late, gone = people
    given = {"name": "g", "members": [member.uid, gone.uid]}
    made = await owner.call("group.create", cid="g", **given)
    conv = made["conv"]
    old = await owner.send(conv, "m1", "old")
    await owner.call("group.invite", gid=made["gid"], cid="i", uids=[late.uid])
    await gone.call("group.leave", gid=made["gid"], cid="l")
    await late.until("conversation.hint", 1)
    new = await owner.send(conv, "m2", "new")
    edits = [
        await owner.call(
            "message.edit", conv=conv, ref=ref, cid=f"e{ref}", body={"text": f"edit of {ref}"}
        )
        for ref in (old["seq"], new["seq"])
    ]
    await owner.call("message.react", conv=conv, ref=old["seq"], cid="r", emoji="👻")
    last = await owner.send(conv, "m3", "the last")
    told = {}
    for wire in (member, late):
        while not (found := wire.entries(conv)) or found[-1]["seq"] < last["seq"]:
            await wire.until("entry", len(await wire.until("entry", 0)) + 1)
        told[wire.uid] = {each["seq"]: each for each in found}
        page = await wire.call("message.history", conv=conv, after=new["seq"] - 1)
        served = {each["seq"]: each for each in page["entries"]}
        for seq in (edits[0]["seq"], edits[1]["seq"], last["seq"]):
            assert told[wire.uid][seq] == served[seq]
    assert "body" not in told[late.uid][edits[0]["seq"]]
    assert told[member.uid][edits[0]["seq"]]["body"] == {"text": f"edit of {old['seq']}"}
    assert told[late.uid][edits[1]["seq"]]["body"] == {"text": f"edit of {new['seq']}"}
    assert f"edit of {old['seq']}" not in str(late.notifications)
    assert "👻" not in str(late.notifications)
    assert "👻" in str(member.notifications)
    assert f"edit of {old['seq']}" not in str(gone.notifications)


async def test_a_recall_after_leaving_is_heard_by_those_who_stayed(people: list[Wire]) -> None:
    owner, member, *_ = people
    made = await owner.call("group.create", cid="g", name="g", members=[member.uid])
    sent = await member.send(made["conv"], "m1", "my secret")
    await member.call("group.leave", gid=made["gid"], cid="l")
    heard = len(await owner.until("entry", 0))
    recalled = await member.call("message.recall", conv=made["conv"], ref=sent["seq"], cid="r")
    entries = await owner.until("entry", heard + 1)
    while entries[-1]["seq"] < recalled["seq"]:
        entries = await owner.until("entry", len(entries) + 1)
    assert (entries[-1]["type"], entries[-1]["ref"]) == ("recall", sent["seq"])
    assert recalled["seq"] not in [each["seq"] for each in member.entries(made["conv"])]


async def test_nobody_watches_the_members_of_a_dismissed_group(people: list[Wire]) -> None:
    owner, member, other, _ = people
    given = {"name": "g", "members": [member.uid, other.uid]}
    made = await owner.call("group.create", cid="g", **given)
    await member.call("presence.watch", conv=made["conv"])
    await owner.call("presence.set", status="busy")
    while (await member.until("presence", 1))[-1]["status"] != "busy":
        await member.until("presence", len(await member.until("presence", 0)) + 1)
    await owner.call("group.dismiss", gid=made["gid"], cid="d")
    known = len(await member.until("presence", 0))
    await owner.call("presence.set", status="away")
    found = await member.call("presence.get", uids=[owner.uid])
    assert found["presence"] == [{"uid": owner.uid, "status": "offline"}]
    # What is sent to the member afterwards comes behind whatever was told of presence.
    await owner.send(member.uid, "m1")
    while not any(each["type"] == "text" for each in await member.until("entry", 0)):
        await member.until("entry", len(await member.until("entry", 0)) + 1)
    assert len(await member.until("presence", 0)) == known
