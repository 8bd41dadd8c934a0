"""Two people chat over the real path, from two connectors."""

import asyncio

import pytest

from local.stack import Stack
from shared.collections import MESSAGES
from shared.stores import database
from tests.checker import Record, check
from tests.wire import Refused, Wire, direct, result


@pytest.fixture
def urls(stack: Stack) -> list[str]:
    return stack.layout.connector_urls


async def test_a_thousand_messages_each_way(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    conv, count = direct(alice.uid, bob.uid), 1000
    records = {wire: Record(wire.uid, wire.uid) for wire in (alice, bob)}
    sent = []
    for number in range(count):
        for wire, other in ((alice, bob), (bob, alice)):
            cid = f"c{number}"
            records[wire].send(conv, cid)
            answer = wire.start(
                "message.send", to=other.uid, cid=cid, type="text", body={"text": f"{number}"}
            )
            sent.append((wire, cid, answer))
    for wire, cid, answer in sent:
        found = result(await asyncio.wait_for(answer, 60))
        records[wire].acknowledge(conv, cid, found["seq"])
        records[wire].apply(found | {"sender": wire.uid})
    for wire in (alice, bob):
        for entry in await wire.until("entry", count):
            records[wire].apply(entry)
        came = [entry["seq"] for entry in wire.entries(conv)]
        assert came == sorted(came), "notifications came out of order"
        records[wire].applied[conv].sort(key=lambda entry: entry["seq"])
    assert check(list(records.values()), {conv: {alice.uid, bob.uid}}) == 2 * count


async def test_history_has_what_was_sent(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    for number in range(5):
        await alice.send(bob.uid, f"c{number}", f"text {number}")
    conv = direct(alice.uid, bob.uid)
    mine = await alice.call("message.history", conv=conv, after=0)
    theirs = await bob.call("message.history", conv=conv, after=0)
    assert [entry["body"]["text"] for entry in theirs["entries"]] == [f"text {n}" for n in range(5)]
    assert [entry.pop("cid") for entry in mine["entries"]] == [f"c{n}" for n in range(5)]
    assert mine == theirs
    assert (theirs["last_seq"], theirs["more"]) == (5, False)
    page = await bob.call("message.history", conv=conv, before=4, limit=2)
    assert ([entry["seq"] for entry in page["entries"]], page["more"]) == ([2, 3], True)


async def test_own_devices_get_the_entry_and_its_sender_the_result(
    urls: list[str], name: str
) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    phone = await Wire.sign_in(urls[1], name + "a")
    sent = await alice.send(bob.uid, "c1")
    (on_phone,) = await phone.until("entry", 1)
    (at_bobs,) = await bob.until("entry", 1)
    assert on_phone.pop("cid") == "c1"
    assert on_phone == at_bobs
    assert {key: at_bobs[key] for key in sent} == sent
    await bob.send(alice.uid, "c2")
    await alice.until("entry", 1)
    assert [entry["seq"] for entry in alice.entries(sent["conv"])] == [2]


async def test_a_repeated_cid_changes_nothing(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    first = await alice.send(bob.uid, "c1", "first")
    assert await alice.send(bob.uid, "c1", "second") == first
    assert (await alice.send(bob.uid, "c2", "third"))["seq"] == 2
    entries = await bob.until("entry", 2)
    assert [entry["body"]["text"] for entry in entries] == ["first", "third"]


async def test_notes_to_oneself(urls: list[str], name: str) -> None:
    alice, phone = await Wire.sign_in(urls[0], name), await Wire.sign_in(urls[1], name)
    sent = await alice.send(alice.uid, "c1", "remember")
    assert sent["conv"] == direct(alice.uid, alice.uid)
    assert (await phone.until("entry", 1))[0]["body"] == {"text": "remember"}


async def test_bodies_in_the_database_are_ciphertext(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    sent = await alice.send(bob.uid, "c1", "the secret plan")
    stored = database()[MESSAGES].find_one({"conv": sent["conv"], "seq": 1})
    assert stored is not None
    assert b"secret" not in b"".join(value for value in stored.values() if isinstance(value, bytes))
    assert "secret" not in str({key: value for key, value in stored.items() if key != "body"})


async def test_lists_unread_and_read_marks(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    phone = await Wire.sign_in(urls[0], name + "b")
    conv = direct(alice.uid, bob.uid)
    assert (await bob.call("conversation.list"))["conversations"] == []
    for number in range(3):
        await alice.send(bob.uid, f"c{number}", f"text {number}")
    listed = await bob.call("conversation.list")
    (state,) = listed["conversations"]
    assert {key: state[key] for key in ("conv", "last_seq", "read_seq", "unread")} == {
        "conv": conv,
        "last_seq": 3,
        "read_seq": 0,
        "unread": 3,
    }
    assert state["last_entry"]["body"] == {"text": "text 2"}
    later = {"changed_since": listed["now"] + 1}
    assert (await bob.call("conversation.list", **later))["conversations"] == []

    assert await bob.call("conversation.read", conv=conv, seq=2) == {}
    expected = [{"conv": conv, "uid": bob.uid, "seq": 2}]
    assert await alice.until("read", 1) == expected
    assert await phone.until("read", 1) == expected
    assert await bob.call("conversation.read", conv=conv, seq=1) == {}
    (state,) = (await bob.call("conversation.list", **later))["conversations"]
    assert (state["read_seq"], state["unread"]) == (2, 1)
    with pytest.raises(Refused, match="beyond the last entry"):
        await bob.call("conversation.read", conv=conv, seq=4)


async def test_people_find_each_other(urls: list[str], name: str) -> None:
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    users = (await bob.call("user.search", q=name))["users"]
    assert [user["username"] for user in users] == [name + "a", name + "b"]
    changed = await alice.call("user.update", cid="1", name="Alice", about="here")
    assert await alice.call("user.update", cid="1", name="Other") == changed
    users = (await bob.call("user.get", uids=[bob.uid, "nobody00", alice.uid]))["users"]
    assert [user["name"] for user in users] == [name + "b", "Alice"]
    assert users[1]["about"] == "here"
    assert "about" not in await alice.call("user.update", cid="2", about="")
