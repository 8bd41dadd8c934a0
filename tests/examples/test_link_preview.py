"""Link previews, from outside."""

import asyncio
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from examples.link_preview.config import config
from local.stack import Stack
from shared import events, keys
from shared.call import Call, Caller
from shared.errors import Code
from shared.events import Happened
from shared.ids import new_id
from tests.examples.site import Site
from tests.wire import Wire, direct


async def two(house: Stack, name: str) -> tuple[Wire, Wire]:
    (url,) = house.layout.connector_urls
    return await Wire.sign_in(url, name + "a"), await Wire.sign_in(url, name + "b")


async def cards(wire: Wire, conv: str) -> list[dict[str, Any]]:
    page = await wire.call("message.history", conv=conv)
    return [each for each in page["entries"] if each["type"] == "card" and "reply_to" in each]


async def settled(wire: Wire, conv: str, site: Site) -> list[dict[str, Any]]:
    """The cards so far, without that of a good link, sent now. One connector hands the events over
    in their order, so when that card is there, all before it were judged."""
    sent = await wire.send(conv, "settle", site.url("/page"))
    await card_of(wire, conv, sent["seq"])
    return [each for each in await cards(wire, conv) if each["reply_to"] != sent["seq"]]


async def card_of(wire: Wire, conv: str, seq: int) -> dict[str, Any]:
    """The card in reply to a message, as soon as it is announced."""
    while True:
        if found := [each for each in wire.entries(conv) if each.get("reply_to") == seq]:
            return found[0]
        count = len([each for each in wire.notifications if each["method"] == "entry"])
        await wire.until("entry", count + 1)


async def test_a_link_gets_a_card(house: Stack, site: Site, name: str) -> None:
    alice, bob = await two(house, name)
    link = site.url("/page?a=(b)")
    sent = await alice.send(bob.uid, "c1", f"see {link}, and {site.url('/other')}.")
    card = await card_of(bob, sent["conv"], sent["seq"])
    assert (card["type"], card["sender"]) == ("card", alice.uid)
    assert card["body"] == {
        "title": 'The "better" title',
        "text": "What it is about",
        "url": link,
    }
    # It is in her name and no answer to a call, so she gets it as well, and may recall it.
    assert (await card_of(alice, sent["conv"], sent["seq"]))["id"] == card["id"]
    await alice.call("message.recall", conv=sent["conv"], ref=card["seq"], cid="r")
    assert site.asked["/other"] == 0


async def test_an_event_that_comes_again_makes_no_second_card(
    house: Stack, site: Site, name: str
) -> None:
    alice, bob = await two(house, name)
    sent = await alice.send(bob.uid, "c1", site.url("/page"))
    await card_of(alice, sent["conv"], sent["seq"])
    again = Happened("message.created", sent | {"sender": alice.uid, "type": "text"}, sent["id"])
    async with Redis(port=house.layout.redis_port or 0) as redis:
        await redis.xadd(keys.MESSAGE_EVENTS, events.fields([again]))
    before = site.asked["/page"]
    others = await settled(alice, sent["conv"], site)
    assert [each["reply_to"] for each in others] == [sent["seq"]]
    assert site.asked["/page"] == before + 2  # it did come again


async def test_what_has_nothing_to_show_gets_none(house: Stack, site: Site, name: str) -> None:
    alice, bob = await two(house, name)
    conv = direct(alice.uid, bob.uid)
    site.asked.clear()
    paths = ("/missing", "/picture", "/untitled", "/within", "/file", "/circle")
    links = [site.url(path) for path in paths]
    links += [site.url("/secret", "localhost"), "http://169.254.169.254/", "http://[bad", "none"]
    for number, link in enumerate(links):
        await alice.send(conv, f"c{number}", link)
    body = {"title": "x", "text": site.url("/card")}
    await alice.call("message.send", conv=conv, cid="card", type="card", body=body)
    assert await settled(alice, conv, site) == []
    assert {path for path in paths if site.asked[path]} == set(paths)
    assert site.asked["/secret"] == site.asked["/card"] == 0


async def test_what_is_not_there_now_is_tried_again(house: Stack, site: Site, name: str) -> None:
    alice, bob = await two(house, name)
    site.asked.clear()
    for path, tries in (("/busy", 3), ("/hangs", 2)):
        sent = await alice.send(bob.uid, path, site.url(path))
        assert (await card_of(bob, sent["conv"], sent["seq"]))["type"] == "card"
        assert site.asked[path] == tries


async def test_a_message_recalled_meanwhile_gets_none(house: Stack, site: Site, name: str) -> None:
    alice, bob = await two(house, name)
    conv = await held(alice, bob, site)
    await alice.call("message.recall", conv=conv, ref=1, cid="r")
    site.release.set()
    assert await settled(alice, conv, site) == []


async def test_who_may_not_write_any_more_gets_none(house: Stack, site: Site, name: str) -> None:
    alice, bob = await two(house, name)
    conv = await held(alice, bob, site)
    await bob.call("friend.block", uid=alice.uid, cid="b")
    site.release.set()
    await settled(alice, direct(alice.uid, alice.uid), site)
    assert await cards(alice, conv) == []


async def held(alice: Wire, bob: Wire, site: Site) -> str:
    """The conversation in which a link was sent, whose page is being waited for."""
    site.asked.clear()
    site.release.clear()
    sent = await alice.send(bob.uid, "c1", site.url("/held"))
    await site.until("/held")
    return str(sent["conv"])


@pytest.fixture
def allowed(stores: Stack, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process may fetch from the site."""
    monkeypatch.setenv("LINK_PREVIEW_PORTS", f"[{site.port}]")
    monkeypatch.setenv("LINK_PREVIEW_INTERNAL_HOSTS", '["127.0.0.1"]')
    config.cache_clear()
    yield
    config.cache_clear()


async def test_an_old_message_is_not_tried_again(allowed: None, site: Site) -> None:
    handler = importlib.import_module("examples.link_preview.handler")
    uid = new_id()
    call = Call("message.send", None, Caller(uid), "c1")
    entry = call.append(direct(uid, uid), "text", {"text": site.url("/down")})
    data = entry.as_result() | {"sender": uid, "type": "text"}
    new = Happened("message.created", data)
    old = Happened("message.created", data, ts=new.ts - 60_000)
    outcomes = await asyncio.to_thread(handler.preview, [old, new])
    assert outcomes[0] is None
    assert outcomes[1].as_dict()["data"] == {"reason": "unavailable", "retry_after": 5.0}
    assert outcomes[1].code == Code.TRY_AGAIN  # which is what makes it come again
