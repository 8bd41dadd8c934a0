"""Edits, recalls, reactions, replies, mentions, forwarding, typing, and a person's own state."""

from typing import Any

import pytest

from local.stack import Stack
from shared.collections import MESSAGES
from shared.entry import shown
from shared.log import log
from shared.stores import database
from tests.wire import Refused, Wire, direct


@pytest.fixture
async def pair(stack: Stack, name: str) -> tuple[Wire, Wire, str]:
    urls = stack.layout.connector_urls
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    return alice, bob, direct(alice.uid, bob.uid)


async def refusal(wire: Wire, method: str, **params: Any) -> str:
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    return refused.value.reason


async def served(wire: Wire, conv: str) -> list[dict[str, Any]]:
    found = await wire.call("message.history", conv=conv, after=0)
    return list(found["entries"])


async def test_an_edited_message_is_served_as_it_is_now(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1", "frist")
    edit = {"conv": conv, "ref": 1, "cid": "e1", "body": {"text": "first"}}
    edited = await alice.call("message.edit", **edit)
    assert edited["seq"] == 2
    assert await alice.call("message.edit", **edit) == edited
    for entries in (await served(alice, conv), await served(bob, conv)):
        assert [entry["body"] for entry in entries] == [{"text": "first"}, {"text": "first"}]
        assert (entries[0]["edited"], entries[1]["type"], entries[1]["ref"]) == (
            edited["ts"],
            "edit",
            1,
        )
    live = await bob.until("entry", 2)
    assert (live[1]["type"], live[1]["ref"], live[1]["body"]) == ("edit", 1, {"text": "first"})


async def test_the_last_edit_stands(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1", "0")
    edits = [
        alice.start("message.edit", conv=conv, ref=1, cid=f"e{n}", body={"text": f"{n}"})
        for n in range(1, 21)
    ]
    last = max([(await edit)["result"]["seq"] for edit in edits])
    entries = await served(bob, conv)
    assert entries[0]["body"] == entries[last - 1]["body"]


async def test_who_may_edit_what(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1")
    edit = {"conv": conv, "ref": 1, "cid": "e1", "body": {"text": "x"}}
    assert await refusal(bob, "message.edit", **edit) == "forbidden"
    assert await refusal(alice, "message.edit", **edit | {"ref": 9}) == "not_found"
    assert await refusal(alice, "message.edit", **edit | {"body": {"no": 1}}) == "invalid_params"
    await alice.call("message.edit", **edit)
    assert await refusal(alice, "message.edit", **edit | {"ref": 2, "cid": "e2"}) == "not_found"
    other = direct("stranger0", "stranger1")
    assert (
        await refusal(alice, "message.edit", **edit | {"conv": other, "cid": "e3"})
        == "not_a_member"
    )


async def test_a_recalled_body_is_gone_for_ever(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1", "the first secret")
    edit = {"conv": conv, "ref": 1, "body": {"text": "the second secret"}}
    await alice.call("message.edit", cid="e1", **edit)
    recall = {"conv": conv, "ref": 1, "cid": "r1"}
    assert await refusal(bob, "message.recall", **recall) == "forbidden"
    recalled = await alice.call("message.recall", **recall)
    assert await alice.call("message.recall", **recall) == recalled
    entries = await served(bob, conv)
    assert [("body" in entry, entry["type"]) for entry in entries] == [
        (False, "text"),
        (False, "edit"),
        (True, "recall"),
    ]
    assert (entries[0]["recalled"], entries[2]["ref"]) == (recalled["ts"], 1)
    assert "secret" not in str(entries)
    listed = (await bob.call("conversation.list"))["conversations"]
    assert "secret" not in str(listed)
    for document in database()[MESSAGES].find({"conv": conv}):
        assert "secret" not in str(shown(document, None, log().content))
    # What comes too late, or again, finds nothing to do.
    assert await refusal(alice, "message.edit", cid="e2", **edit) == "conflict"
    assert await refusal(alice, "message.recall", **recall | {"cid": "r2"}) == "conflict"
    react = {"conv": conv, "ref": 1, "cid": "x", "emoji": "👍"}
    assert await refusal(bob, "message.react", **react) == "conflict"
    assert len(await served(bob, conv)) == 3


async def test_reactions_come_and_go(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1")
    react = {"conv": conv, "ref": 1, "emoji": "👍"}
    first = await bob.call("message.react", cid="x1", **react)
    assert await bob.call("message.react", cid="x1", **react) == first
    await bob.call("message.react", cid="x2", remove=True, **react)
    assert [entry["body"] for entry in await alice.until("entry", 2)] == [
        {"emoji": "👍"},
        {"emoji": "👍", "remove": True},
    ]
    long = react | {"emoji": "x" * 33}
    assert await refusal(bob, "message.react", cid="x3", **long) == "invalid_params"


async def test_replies_and_mentions_are_kept(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    await alice.send(bob.uid, "c1")
    reply = {"type": "text", "body": {"text": "yes"}, "reply_to": 1, "mentions": [alice.uid]}
    await bob.call("message.send", conv=conv, cid="c2", **reply)
    (live,) = await alice.until("entry", 1)
    assert (live["reply_to"], live["mentions"]) == (1, [alice.uid])
    assert (await served(alice, conv))[1] == live


async def test_forwarding_keeps_who_first_wrote_it(pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    sent = await alice.send(bob.uid, "c1", "pass it on")
    notes = direct(bob.uid, bob.uid)
    origin = {"sender": alice.uid, "ts": sent["ts"]}
    forward = {"conv": conv, "seq": 1}
    await bob.call("message.send", conv=notes, cid="f1", forward=forward)
    again = {"conv": notes, "seq": 1}
    await bob.call("message.send", conv=conv, cid="f2", forward=again)
    (live,) = await alice.until("entry", 1)
    assert (live["sender"], live["body"], live["forwarded"]) == (
        bob.uid,
        {"text": "pass it on"},
        origin,
    )
    assert (await served(bob, notes))[0]["forwarded"] == origin
    stolen = {"conv": conv, "cid": "f3", "forward": again}
    assert await refusal(alice, "message.send", **stolen) == "not_a_member"
    await alice.call("message.recall", conv=conv, ref=1, cid="r1")
    late = {"conv": conv, "cid": "f4", "forward": forward}
    assert await refusal(bob, "message.send", **late) == "conflict"
    both = {"conv": conv, "cid": "f5", "forward": forward, "type": "text", "body": {"text": "x"}}
    assert await refusal(bob, "message.send", **both) == "invalid_params"


@pytest.mark.parametrize(
    ("type_", "body", "bad"),
    [
        ("image", {"file": "f", "width": 1, "height": 2, "thumb": "t"}, {"width": 0}),
        ("audio", {"file": "f", "duration": 1.5}, {"duration": -1}),
        ("video", {"file": "f", "duration": 2, "width": 1, "height": 1}, {"height": "1"}),
        ("file", {"file": "f", "name": "a.pdf", "size": 0}, {"size": -1}),
        ("location", {"lat": -90.0, "lon": 180.0, "title": "x"}, {"lat": 91}),
        ("card", {"title": "x", "url": "https://x"}, {"url": "javascript:x"}),
        ("custom", {"anything": [1, {"goes": None}]}, None),
    ],
)
async def test_every_type(
    pair: tuple[Wire, Wire, str], type_: str, body: dict[str, Any], bad: dict[str, Any] | None
) -> None:
    alice, bob, conv = pair
    await alice.call("message.send", conv=conv, cid="c1", type=type_, body=body)
    (live,) = await bob.until("entry", 1)
    assert (live["type"], live["body"]) == (type_, body)
    if bad is not None:
        wrong = {"conv": conv, "cid": "c2", "type": type_, "body": body | bad}
        assert await refusal(alice, "message.send", **wrong) == "invalid_params"
        extra = {"conv": conv, "cid": "c2", "type": type_, "body": body | {"unknown": 1}}
        assert await refusal(alice, "message.send", **extra) == "invalid_params"


async def test_typing_is_told_to_the_other_at_most_once_a_second(
    pair: tuple[Wire, Wire, str],
) -> None:
    alice, bob, conv = pair
    for _ in range(3):
        assert await alice.call("conversation.typing", conv=conv) == {}
    await alice.send(bob.uid, "c1")
    await bob.until("entry", 1)
    told = [each["params"] for each in bob.notifications if each["method"] == "typing"]
    assert told == [{"conv": conv, "uid": alice.uid}]
    assert all(each["method"] != "typing" for each in alice.notifications)


async def test_ones_own_state_in_a_conversation(stack: Stack, pair: tuple[Wire, Wire, str]) -> None:
    alice, bob, conv = pair
    phone = await Wire.connect(stack.layout.connector_urls[0])
    await phone.open(bob.tokens["access_token"])
    await alice.send(bob.uid, "c1")
    state = await bob.call("conversation.update", conv=conv, pinned=True, muted=True)
    assert {key: state[key] for key in ("pinned", "muted", "hidden")} == {
        "pinned": True,
        "muted": True,
        "hidden": False,
    }
    assert await phone.until("conversation", 1) == [state]
    listed = await bob.call("conversation.list")
    (item,) = listed["conversations"]
    assert (item["pinned"], item["muted"]) == (True, True)
    await bob.call("conversation.update", conv=conv, hidden=True, pinned=False)
    since = {"changed_since": listed["now"]}
    (item,) = (await bob.call("conversation.list", **since))["conversations"]
    assert (item["pinned"], item["muted"], item["hidden"]) == (False, True, True)
    await alice.send(bob.uid, "c2")
    (item,) = (await bob.call("conversation.list", **since))["conversations"]
    assert (item["unread"], item["hidden"]) == (2, False)
