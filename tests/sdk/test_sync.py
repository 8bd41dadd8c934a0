"""Gaps are closed from history, however little the app takes and whatever history answers."""

import asyncio

import pytest
from stonechat.entry import Entry
from stonechat.errors import Forbidden, InvalidParams, StonechatError, TryAgain
from stonechat.inbox import Inbox
from stonechat.state import MemoryState
from stonechat.sync import History, Sync

CONV = "d:a:b"


def entry(seq: int, conv: str = CONV) -> Entry:
    return Entry(conv, seq, f"id{seq:06}", 0, "sender00", "text", {})


def stored(count: int) -> History:
    async def history(conv: str, after: int) -> list[Entry]:
        return [entry(seq, conv) for seq in range(after + 1, min(after + 5, count) + 1)]

    return history


def started(
    history: History, *, limit: int = 1000, from_start: bool = True
) -> tuple[Sync, Inbox[Entry]]:
    inbox: Inbox[Entry] = Inbox(limit)
    sync = Sync(MemoryState(), inbox, history, from_start=from_start)
    sync.load()
    return sync, inbox


def compare(sync: Sync, lasts: dict[str, int]) -> None:
    """What is listed once."""
    sync.compare(lasts, lasts)


async def taken(inbox: Inbox[Entry], count: int) -> list[int]:
    async with asyncio.timeout(10):
        return [(await inbox.take()).seq for _ in range(count)]


async def test_a_gap_is_fetched() -> None:
    sync, inbox = started(stored(12))
    sync.arrived(entry(12))
    assert await taken(inbox, 12) == list(range(1, 13))
    await sync.close()


async def test_a_comparison_and_a_hint_fetch_what_is_missing() -> None:
    sync, inbox = started(stored(9))
    compare(sync, {CONV: 4})
    assert await taken(inbox, 4) == [1, 2, 3, 4]
    sync.hint(CONV, 9)
    assert await taken(inbox, 5) == [5, 6, 7, 8, 9]
    await sync.close()


async def test_what_does_not_fit_is_fetched_when_it_does() -> None:
    sync, inbox = started(stored(40), limit=4)
    for seq in range(1, 41):
        sync.arrived(entry(seq))
    assert not inbox.room.is_set()
    assert await taken(inbox, 40) == list(range(1, 41))
    await sync.close()


async def test_a_client_without_a_past_begins_behind_what_there_is() -> None:
    sync, inbox = started(stored(12), from_start=False)
    sync.arrived(entry(10))  # while the list was on its way, which shows it or not
    compare(sync, {CONV: 10, "d:a:c": 7})
    sync.arrived(entry(8, "d:a:c"))
    sync.arrived(entry(1, "d:a:d"))
    assert await taken(inbox, 3) == [10, 8, 1]
    await sync.close()


async def test_what_changed_while_it_was_compared_is_given_from_there() -> None:
    sync, inbox = started(stored(12), from_start=False)
    sync.hint("g:new", 2)  # one came into it meanwhile
    sync.compare({CONV: 12, "g:old": 7, "g:new": 3}, {CONV: 10, "g:old": 7, "g:new": 3})
    found = [(each.conv, each.seq) for each in [await inbox.take() for _ in range(5)]]
    assert sorted(found) == [(CONV, 11), (CONV, 12), ("g:new", 1), ("g:new", 2), ("g:new", 3)]
    await sync.close()


async def test_a_conversation_that_is_closed_to_one_is_left_alone() -> None:
    asked: list[str] = []
    complete = stored(2)

    async def history(conv: str, after: int) -> list[Entry]:
        asked.append(conv)
        if conv == CONV:
            raise Forbidden(-32002, "no", {"reason": "not_a_member"})
        return await complete(conv, after)

    sync, inbox = started(history)
    sync.hint(CONV, 3)
    for other in ("d:a:c", "d:a:d"):  # while these are fetched, it would be asked again
        sync.hint(other, 2)
        assert await taken(inbox, 2) == [1, 2]
    assert asked == [CONV, "d:a:c", "d:a:d"]
    sync.arrived(entry(1))  # invited again: it goes on where it was
    assert await taken(inbox, 1) == [1]
    await sync.close()


async def test_a_failure_is_tried_again() -> None:
    failures = iter([TryAgain(-32006, "no", {"reason": "unavailable"}), TimeoutError()])
    complete = stored(3)

    async def history(conv: str, after: int) -> list[Entry]:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await complete(conv, after)

    sync, inbox = started(history)
    sync.hint(CONV, 3)
    assert await taken(inbox, 3) == [1, 2, 3]
    await sync.close()


async def test_not_everything_is_fetched_at_once() -> None:
    busy, most = 0, 0
    complete = stored(1)

    async def history(conv: str, after: int) -> list[Entry]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return await complete(conv, after)

    sync, inbox = started(history)
    compare(sync, {f"g:{number:08}": 1 for number in range(200)})
    assert await taken(inbox, 200) == [1] * 200
    assert 1 < most <= 8
    await sync.close()


@pytest.mark.parametrize("error", [None, InvalidParams(-32602, "no", {"reason": "x"})])
async def test_what_was_told_of_and_is_not_there_is_not_waited_for_for_ever(
    error: StonechatError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stonechat.sync._PAUSE", 0.0)
    asked = 0

    async def history(conv: str, after: int) -> list[Entry]:
        nonlocal asked
        asked += 1
        if error is not None:
            raise error
        return []

    sync, inbox = started(history)
    sync.hint(CONV, 2**50)
    async with asyncio.timeout(10):
        while sync._fetching:
            await asyncio.sleep(0.01)
    assert 1 < asked <= 20
    before = asked
    sync.arrived(entry(1))  # and it goes on with what is there
    assert await taken(inbox, 1) == [1]
    assert asked == before
    await sync.close()


async def test_what_one_made_before_the_first_comparison_is_fetched_after_it() -> None:
    sync, inbox = started(stored(12), from_start=False)
    sync.own(CONV, 11)
    sync.own("d:a:new", 1)
    compare(sync, {CONV: 12, "d:a:c": 7})
    found = [(each.conv, each.seq) for each in [await inbox.take() for _ in range(3)]]
    assert sorted(found) == [(CONV, 11), (CONV, 12), ("d:a:new", 1)]
    await sync.close()


async def test_many_that_arrive_before_the_first_comparison_are_fetched_after_it() -> None:
    sync, inbox = started(stored(1500), from_start=False)
    for seq in range(1, 1501):
        sync.arrived(entry(seq))
    compare(sync, {CONV: 1500})
    assert await taken(inbox, 1500) == list(range(1, 1501))
    await sync.close()
