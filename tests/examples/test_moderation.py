"""Moderation, from outside."""

import pytest

from local.stack import Stack
from tests.wire import Refused, Wire


async def test_a_forbidden_word_is_neither_sent_nor_edited_in(house: Stack, name: str) -> None:
    (url,) = house.layout.connector_urls
    alice, bob = await Wire.sign_in(url, name + "a"), await Wire.sign_in(url, name + "b")
    with pytest.raises(Refused) as refused:
        await alice.send(bob.uid, "c1", "what Balderdash!")
    assert (refused.value.reason, refused.value.data["words"]) == ("forbidden", ["balderdash"])
    sent = await alice.send(bob.uid, "c1", "what sense!")
    assert sent["seq"] == 1
    with pytest.raises(Refused) as refused:
        await alice.call(
            "message.edit", conv=sent["conv"], ref=1, cid="e1", body={"text": "BALDERDASH"}
        )
    assert refused.value.reason == "forbidden"
    await alice.call("message.edit", conv=sent["conv"], ref=1, cid="e1", body={"text": "fine"})
    page = await bob.call("message.history", conv=sent["conv"])
    assert [(each["type"], each["body"]["text"]) for each in page["entries"]] == [
        ("text", "fine"),
        ("edit", "fine"),
    ]


async def test_other_calls_are_as_they_were(house: Stack, name: str) -> None:
    (url,) = house.layout.connector_urls
    alice = await Wire.sign_in(url, name)
    made = await alice.call("group.create", cid="g", name="balderdash")
    with pytest.raises(Refused) as refused:
        await alice.call("message.send", conv=made["conv"], cid="c", type="text", body="balder")
    assert refused.value.reason == "invalid_params"
