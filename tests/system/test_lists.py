"""Lists and histories have pages: nothing is missed or doubled, and no answer is too large."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from local.stack import Stack
from shared import keys
from shared.settings import settings
from shared.stores import redis_client
from tests.many import friends_of, groups_of, written
from tests.soft import soft
from tests.wire import Refused, Wire, direct

Page = dict[str, Any]
cids = (f"cid{number}" for number in itertools.count())


@pytest.fixture
async def alice(stack: Stack, name: str) -> AsyncIterator[Wire]:
    wire = await Wire.sign_in(stack.layout.connector_urls[0], name + "a")
    yield wire
    await wire.close()


@pytest.fixture
async def bob(stack: Stack, name: str) -> AsyncIterator[Wire]:
    wire = await Wire.sign_in(stack.layout.connector_urls[1], name + "b")
    yield wire
    await wire.close()


async def pages(
    wire: Wire,
    method: str,
    between: Callable[[int], Awaitable[None]] | None = None,
    **params: Any,
) -> list[Page]:
    """All pages of a list; after each of them, something happens."""
    found: list[Page] = []
    while True:
        page = await wire.call(method, **params)
        assert len(orjson.dumps(page)) <= settings().answer_bytes
        found.append(page)
        if "next" not in page:
            return found
        params["after"] = page["next"]
        if between is not None:
            await between(len(found))


def listed(found: list[Page]) -> list[str]:
    return [each["conv"] for page in found for each in page["conversations"]]


async def invalid(wire: Wire, method: str, **params: Any) -> list[Any]:
    """Where the params are refused."""
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    assert refused.value.reason == "invalid_params"
    return [each["loc"][0] for each in refused.value.data["errors"]]


@pytest.mark.parametrize("limit", [1, 7, 23, 24, 500])
async def test_pages_of_any_size_are_the_whole_list(alice: Wire, limit: int) -> None:
    convs = groups_of(alice.uid, 23, "hello")
    found = await pages(alice, "conversation.list", limit=limit)
    assert sorted(listed(found)) == sorted(convs)
    items = [each for page in found for each in page["conversations"]]
    assert [each["changed_at"] for each in items] == sorted(
        (each["changed_at"] for each in items), reverse=True
    )
    assert all(len(page["conversations"]) == limit for page in found[:-1])
    assert (await alice.call("conversation.list"))["conversations"] == items


@pytest.mark.parametrize("method", ["conversation.list", "friend.list"])
async def test_how_many_at_once(alice: Wire, method: str) -> None:
    most = settings().list_limit
    assert "next" not in await alice.call(method, limit=most)
    assert await invalid(alice, method, limit=most + 1) == ["limit"]
    assert await invalid(alice, method, limit=0) == ["limit"]
    if method == "conversation.list":
        groups_of(alice.uid, most + 1, "x")
    else:
        friends_of(alice.uid, most + 1, "x")
    (items, *_) = (await alice.call(method)).values()
    assert len(items) == 200
    found = await pages(alice, method, limit=most)
    assert [len(next(iter(page.values()))) for page in found] == [most, 1]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "nonsense", "0", "MTIz", "====", "é", "MSAv", "a" * 10_000, "\x00", 7, {}, []],
)
async def test_a_cursor_of_nonsense_is_refused(alice: Wire, cursor: Any) -> None:
    for method in ("conversation.list", "friend.list"):
        assert await invalid(alice, method, after=cursor) == ["after"]


async def test_what_changes_while_one_pages_is_found_and_nothing_is_doubled(alice: Wire) -> None:
    convs = groups_of(alice.uid, 40, "hello")
    changing = iter(convs[::3])
    moved: list[str] = []
    new: list[str] = []

    async def happens(number: int) -> None:
        conv = next(changing)
        moved.append(conv)
        written([conv], "sender00", f"news {number}")
        if number == 2:
            new.extend(groups_of(alice.uid, 2, "new"))
        if number == 3:
            redis_client().delete(soft(keys.tail(convs[-1])))
        if number == 4:
            redis_client().delete(soft(keys.states(alice.uid)))

    found = await pages(alice, "conversation.list", happens, limit=6)
    later = await pages(alice, "conversation.list", limit=6, changed_since=found[0]["now"])
    once = listed(found)
    assert len(once) == len(set(once))
    assert set(once) | set(listed(later)) == {*convs, *new}
    newest = {each["conv"]: each for page in found + later for each in page["conversations"]}
    assert {newest[conv]["last_seq"] for conv in moved} == {2}


async def test_a_page_ends_where_an_answer_would_be_too_large(alice: Wire) -> None:
    convs = groups_of(alice.uid, 400, "x" * 2000)
    found = await pages(alice, "conversation.list", limit=400)
    assert sorted(listed(found)) == sorted(convs)
    assert len(found) > 1
    friends = friends_of(alice.uid, 400, "n" * 1000)
    parts = await pages(alice, "friend.list", limit=400)
    assert [each["uid"] for part in parts for each in part["friends"]] == friends
    assert len(parts) > 1


@pytest.mark.parametrize("limit", [1, 4, 9, 10, 500])
async def test_pages_of_friends(alice: Wire, bob: Wire, limit: int) -> None:
    friends = friends_of(alice.uid, 9, "x")

    async def happens(number: int) -> None:
        if number == 2:
            await alice.call("friend.remove", uid=friends[8], cid=next(cids))
            await alice.call("friend.block", uid=bob.uid, cid=next(cids))

    found = await pages(alice, "friend.list", happens, limit=limit)
    uids = [each["uid"] for page in found for each in page["friends"]]
    assert uids == (friends if len(found) < 3 else [*friends[:8], bob.uid])
    assert [each["uid"] for each in (await alice.call("friend.list"))["friends"]] == uids


async def test_histories_are_bounded_in_bytes_in_both_directions(alice: Wire, bob: Wire) -> None:
    conv = direct(alice.uid, bob.uid)
    for number in range(30):
        await alice.send(bob.uid, f"c{number}", f"{number} " + "x" * 30_000)
    forward: list[int] = []
    backward: list[int] = []
    more = True
    while more:
        page = await bob.call("message.history", conv=conv, after=len(forward), limit=200)
        assert len(orjson.dumps(page)) <= settings().answer_bytes
        assert (page["first_seq"], page["last_seq"]) == (1, 30)
        forward += [each["seq"] for each in page["entries"]]
        more = page["more"]
    more, before = True, 31
    while more:
        page = await bob.call("message.history", conv=conv, before=before, limit=200)
        assert len(orjson.dumps(page)) <= settings().answer_bytes
        backward = [each["seq"] for each in page["entries"]] + backward
        before, more = backward[0], page["more"]
    assert forward == backward == list(range(1, 31))
    last = await bob.call("message.history", conv=conv)
    assert [each["seq"] for each in last["entries"]] == list(range(23, 31))
    assert last["more"]


async def test_many_histories_at_once(alice: Wire) -> None:
    convs = groups_of(alice.uid, 40, "x" * 9000)
    written(convs[:20], "sender00", "second")
    answers = [alice.start("message.history", conv=conv, limit=200) for conv in convs]
    for number, answer in enumerate(await asyncio.gather(*answers)):
        entries = answer["result"]["entries"]
        assert {each["conv"] for each in entries} == {convs[number]}
        assert [each["seq"] for each in entries] == ([1, 2] if number < 20 else [1])


async def test_how_many_entries_at_once(alice: Wire) -> None:
    (conv,) = groups_of(alice.uid, 1, "x")
    most = settings().history_limit
    written([conv] * most, "sender00", "more")
    page = await alice.call("message.history", conv=conv, after=0, limit=most)
    assert (len(page["entries"]), page["more"]) == (most, True)
    assert await invalid(alice, "message.history", conv=conv, limit=most + 1) == ["limit"]


async def test_a_long_last_entry_is_shortened(alice: Wire, bob: Wire) -> None:
    edge = settings().last_entry_bytes - len(orjson.dumps({"text": ""}))
    for number, length in enumerate((edge, edge + 1, 20_000)):
        await alice.send(bob.uid, f"c{number}", "長" * (length // 3) + "x" * (length % 3))
        (item,) = (await bob.call("conversation.list"))["conversations"]
        entry = item["last_entry"]
        assert entry.get("truncated", False) == bool(number)
        assert len(orjson.dumps(entry["body"])) <= settings().last_entry_bytes
        assert set(entry["body"]["text"]) <= {"長", "x"}
        redis_client().delete(soft(keys.tail(item["conv"])))
        (again,) = (await bob.call("conversation.list"))["conversations"]
        assert again["last_entry"] == entry


async def test_what_was_left_or_dismissed_is_listed_as_left(alice: Wire, bob: Wire) -> None:
    made = [
        await alice.call("group.create", cid=next(cids), name="g", members=[bob.uid])
        for _ in range(3)
    ]
    left, removed, dismissed = made
    now = (await bob.call("conversation.list"))["now"] + 1
    await bob.call("group.leave", cid=next(cids), gid=left["gid"])
    await alice.call("group.remove", cid=next(cids), gid=removed["gid"], uids=[bob.uid])
    await alice.call("group.dismiss", cid=next(cids), gid=dismissed["gid"])
    for lost in (
        (),
        (soft(keys.states(bob.uid)),),
        tuple(soft(keys.tail(each["conv"])) for each in made),
    ):
        if lost:
            redis_client().delete(*lost)
        items = (await bob.call("conversation.list", changed_since=now))["conversations"]
        assert {each["conv"] for each in items if each.get("left")} == {e["conv"] for e in made}
    (mine,) = (
        each
        for each in (await alice.call("conversation.list"))["conversations"]
        if each.get("left")
    )
    assert mine["conv"] == dismissed["conv"]
    await bob.call("conversation.update", conv=left["conv"], hidden=True)
    items = (await bob.call("conversation.list"))["conversations"]
    assert [each["conv"] for each in items if each["hidden"]] == [left["conv"]]


async def test_who_comes_back_has_not_left(alice: Wire, bob: Wire) -> None:
    made = await alice.call("group.create", cid=next(cids), name="g", members=[bob.uid])
    await alice.call("group.remove", cid=next(cids), gid=made["gid"], uids=[bob.uid])
    await alice.call("group.invite", cid=next(cids), gid=made["gid"], uids=[bob.uid])
    (item,) = (await bob.call("conversation.list"))["conversations"]
    assert "left" not in item


async def test_the_other_ones_mark_is_in_the_list(alice: Wire, bob: Wire) -> None:
    conv = direct(alice.uid, bob.uid)
    for number in range(5):
        await alice.send(bob.uid, f"c{number}")

    async def seen(**params: Any) -> list[int]:
        items = (await alice.call("conversation.list", **params))["conversations"]
        return [each["peer_read_seq"] for each in items]

    assert await seen() == [0]
    now = (await alice.call("conversation.list"))["now"] + 1
    assert await seen(changed_since=now) == []
    await bob.call("conversation.read", conv=conv, seq=4)
    await bob.call("conversation.read", conv=conv, seq=2)
    assert await seen(changed_since=now) == [4]
    redis_client().delete(soft(keys.states(alice.uid)), soft(keys.states(bob.uid)))
    assert await seen() == [4]
    await bob.call("friend.block", uid=alice.uid, cid=next(cids))
    await bob.call("conversation.read", conv=conv, seq=5)
    for _ in range(2):
        assert await seen() == [4], "who blocked somebody tells them nothing"
        redis_client().delete(soft(keys.states(alice.uid)))
    await alice.send(alice.uid, "note")
    notes = direct(alice.uid, alice.uid)
    (own,) = (
        each
        for each in (await alice.call("conversation.list"))["conversations"]
        if each["conv"] == notes
    )
    assert "peer_read_seq" not in own


async def test_only_a_mark_that_moved_is_told(alice: Wire, bob: Wire) -> None:
    conv = direct(alice.uid, bob.uid)
    for number in range(9):
        await alice.send(bob.uid, f"c{number}")
    for seq in (4, 1, 4, 0, 7, 3, 7):
        assert await bob.call("conversation.read", conv=conv, seq=seq) == {}
    answers = [bob.start("conversation.read", conv=conv, seq=seq) for seq in (8, 2, 8, 9, 9)]
    assert all("result" in answer for answer in await asyncio.gather(*answers))
    await bob.send(alice.uid, "after")
    await alice.until("entry", 1)
    told = [each["params"]["seq"] for each in alice.notifications if each["method"] == "read"]
    assert told == [4, 7, 8, 9]


async def test_an_inbox_can_be_read(alice: Wire, bob: Wire) -> None:
    await alice.call("friend.request", uid=bob.uid, cid=next(cids))
    (inbox,) = (await bob.call("conversation.list"))["conversations"]
    assert inbox["unread"] == 1
    await bob.call("conversation.read", conv=inbox["conv"], seq=1)
    (inbox,) = (await bob.call("conversation.list"))["conversations"]
    assert (inbox["unread"], inbox["read_seq"]) == (0, 1)


async def test_nobody_hears_of_typing_in_a_large_group(alice: Wire, bob: Wire) -> None:
    most = settings().typing_members_limit
    for size in (most, most + 1):
        (conv,) = groups_of(alice.uid, 1, "x", size=size)
        await alice.call("conversation.typing", conv=conv)
        assert redis_client().exists(keys.typing(conv, alice.uid)) == (size == most)
    with pytest.raises(Refused):
        await bob.call("conversation.typing", conv=conv)
    assert not redis_client().exists(keys.typing(conv, bob.uid))
