"""The log on real stores: numbers, write-once, repetition, collisions, holes."""

import threading

import pytest
from pymongo import MongoClient

from local.stack import Stack
from shared import keys
from shared.collections import MESSAGES, Document
from shared.commit import Outcome
from shared.ends import Galloping, Scanning, newest_of
from shared.entry import Draft, Entry, shown
from shared.errors import CallError, Reason
from shared.history import History, Page
from shared.ids import new_id
from shared.log import Log, log
from shared.storage import Storage
from shared.stores import database, redis_client
from tests.soft import soft


@pytest.fixture
def conv(stores: Stack) -> str:
    return f"g:{new_id()}"


def draft(conv: str, cid: str, sender: str = "sender00") -> Draft:
    return Draft(conv, sender, "message.send", cid, "text", {"text": f"text of {cid}"})


def entries(outcomes: list[Outcome]) -> list[Entry]:
    assert all(isinstance(outcome, Entry) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Entry)]


def seqs(outcomes: list[Outcome]) -> list[int]:
    return [entry.seq for entry in entries(outcomes)]


def read_all(conv: str) -> Page:
    return History(log(), hole_age=0).after(conv, 0, 200)


def test_numbers_are_dense_from_one_in_each_conversation(conv: str) -> None:
    other = f"g:{new_id()}"
    found = log().append([draft(conv, "1"), draft(other, "1"), draft(conv, "2"), draft(conv, "3")])
    assert seqs(found) == [1, 1, 2, 3]
    assert seqs(log().append([draft(conv, "4")])) == [4]


def test_nothing_appended_is_nothing(conv: str) -> None:
    assert log().append([]) == []
    assert read_all(conv) == Page([], 1, 0, False)


def test_a_repeated_command_is_the_same_entry_and_takes_no_number(conv: str) -> None:
    first = entries(log().append([draft(conv, "1")]))[0]
    again = entries(log().append([draft(conv, "1")]))[0]
    assert (again.seq, again.id, again.ts, again.fresh) == (1, first.id, first.ts, False)
    assert seqs(log().append([draft(conv, "2")])) == [2]
    assert [each["type"] for each in read_all(conv).entries] == ["text", "text"]


def test_repetitions_within_a_batch(conv: str) -> None:
    log().append([draft(conv, "1")])
    batch = [draft(conv, cid) for cid in ("2", "1", "3", "2", "4")]
    found = entries(log().append(batch))
    assert [entry.seq for entry in found] == [2, 1, 3, 2, 4]
    assert [entry.fresh for entry in found] == [True, False, True, False, True]
    assert read_all(conv).last_seq == 4


def test_what_is_no_json_fails_alone_and_takes_no_number(conv: str) -> None:
    batch = [draft(conv, str(n)) for n in range(5)]
    for n, body in ((1, {"set": {1}}), (3, {"n": 2**70})):
        batch[n].body = body
    found = log().append(batch)
    assert [each.seq if isinstance(each, Entry) else str(each.reason) for each in found] == [
        1,
        "internal",
        2,
        "internal",
        3,
    ]
    assert seqs(log().append([draft(conv, "next")])) == [4]


def test_two_people_may_use_the_same_cid(conv: str) -> None:
    found = log().append([draft(conv, "1", "sender01"), draft(conv, "1", "sender02")])
    assert seqs(found) == [1, 2]


@pytest.mark.parametrize("left", [None, 0, 3], ids=["lost", "reset", "gone back"])
def test_a_counter_that_lies_loses_nothing(conv: str, left: int | None) -> None:
    assert seqs(log().append([draft(conv, str(n)) for n in range(10)])) == list(range(1, 11))
    if left is None:
        redis_client().delete(soft(keys.sequence(conv)))
    else:
        redis_client().set(soft(keys.sequence(conv)), left)
    after = log().append([draft(conv, str(n)) for n in range(8, 13)])
    assert seqs(after) == [9, 10, 11, 12, 13]
    page = read_all(conv)
    assert [each["seq"] for each in page.entries] == list(range(1, 14))


def test_order_survives_collisions(conv: str) -> None:
    log().append([draft(conv, f"old{n}") for n in range(20)])
    redis_client().set(soft(keys.sequence(conv)), 12)
    found = seqs(log().append([draft(conv, f"new{n}") for n in range(15)]))
    assert found == list(range(21, 36))


def test_writers_side_by_side_share_one_line(conv: str) -> None:
    logs = [log(), *(_another_log() for _ in range(3))]
    done: dict[int, list[Outcome]] = {}

    def write(number: int) -> None:
        outcomes: list[Outcome] = []
        for turn in range(5):
            batch = [draft(conv, f"{turn}-{n}", f"sender{number:02}") for n in range(7)]
            outcomes += logs[number % len(logs)].append(batch)
        done[number] = outcomes

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        redis_client().delete(soft(keys.sequence(conv)))
        thread.join()
    for outcomes in done.values():
        assert seqs(outcomes) == sorted(seqs(outcomes))
    given = [seq for outcomes in done.values() for seq in seqs(outcomes)]
    assert len(set(given)) == 8 * 5 * 7
    history, reached = History(log(), hole_age=0), 0
    types = []
    while (page := history.after(conv, reached, 200)).entries:
        assert page.entries[0]["seq"] == reached + 1
        reached = page.entries[-1]["seq"]
        types += [each["type"] for each in page.entries]
    assert types.count("text") == len(given)
    assert reached >= max(given)


def test_bodies_are_stored_encrypted(conv: str) -> None:
    log().append([draft(conv, "1")])
    stored = database()[MESSAGES].find_one({"conv": conv})
    assert stored is not None
    assert b"text of 1" not in stored["body"]
    assert shown(stored, None, log().content)["body"] == {"text": "text of 1"}


def test_the_cid_is_its_senders_alone(conv: str) -> None:
    log().append([draft(conv, "secret", "sender01")])
    (stored,) = read_all(conv).entries
    assert shown(stored, "sender01", log().content)["cid"] == "secret"
    assert "cid" not in shown(stored, "sender02", log().content)


def test_a_young_hole_stops_readers_and_an_old_one_is_closed(conv: str) -> None:
    log().append([draft(conv, "1")])
    redis_client().incrby(soft(keys.sequence(conv)), 2)  # two numbers whose writer died
    log().append([draft(conv, "2")])
    young = History(log(), hole_age=3600).after(conv, 0, 200)
    assert ([each["seq"] for each in young.entries], young.last_seq, young.more) == ([1], 4, True)
    old = History(log(), hole_age=-1).after(conv, 0, 200)
    types = [(each["seq"], each["type"]) for each in old.entries]
    assert types == [(1, "text"), (2, "void"), (3, "void"), (4, "text")]
    assert not old.more


def test_a_slow_writer_never_gets_a_number_that_was_closed(conv: str) -> None:
    log().append([draft(conv, "1")])
    redis_client().incrby(soft(keys.sequence(conv)), 1)
    log().append([draft(conv, "3")])
    closed = History(log(), hole_age=-1).after(conv, 0, 200)
    redis_client().set(soft(keys.sequence(conv)), 1)  # the writer comes back with the number 2
    assert seqs(log().append([draft(conv, "2")])) == [4]
    page = read_all(conv)
    assert page.entries[: len(closed.entries)] == closed.entries


def test_reading_backwards(conv: str) -> None:
    log().append([draft(conv, str(n)) for n in range(10)])
    history = History(log(), hole_age=3600)

    def found(page: Page) -> tuple[list[int], bool]:
        return [each["seq"] for each in page.entries], page.more

    assert found(history.before(conv, 8, 3)) == ([5, 6, 7], True)
    assert found(history.before(conv, 3, 3)) == ([1, 2], False)
    assert found(history.before(conv, 1, 3)) == ([], False)
    assert found(history.before(conv, 99, 3)) == ([8, 9, 10], True)
    assert found(history.latest(conv, 4)) == ([7, 8, 9, 10], True)
    assert found(history.after(conv, 10, 3)) == ([], False)
    assert found(history.after(conv, 7, 3)) == ([8, 9, 10], False)


def test_reading_backwards_stops_behind_a_young_hole(conv: str) -> None:
    log().append([draft(conv, "1"), draft(conv, "2")])
    redis_client().incrby(soft(keys.sequence(conv)), 1)
    log().append([draft(conv, "4"), draft(conv, "5")])
    page = History(log(), hole_age=3600).before(conv, 6, 10)
    assert ([each["seq"] for each in page.entries], page.more) == ([4, 5], True)


@pytest.mark.parametrize("holes", [1, 2, 7])
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_pages_that_end_with_old_holes_reach_both_ends(conv: str, holes: int, limit: int) -> None:
    for turn in range(3):
        log().append([draft(conv, f"{turn}-{n}") for n in range(4)])
        redis_client().incrby(soft(keys.sequence(conv)), holes)  # whose writers died
    log().append([draft(conv, "last")])
    size = 3 * (4 + holes) + 1
    history = History(log(), hole_age=-1)
    backward: list[int] = []
    page = history.before(conv, size + 1, limit)
    while True:
        backward = [each["seq"] for each in page.entries] + backward
        if not page.more:
            break
        page = history.before(conv, backward[0], limit)
    assert backward == list(range(1, size + 1))


@pytest.mark.parametrize("holes", [1, 2, 7])
def test_a_page_is_not_empty_for_a_hole_that_is_old(conv: str, holes: int) -> None:
    log().append([draft(conv, "1")])
    redis_client().incrby(soft(keys.sequence(conv)), holes)
    log().append([draft(conv, "2")])
    young, old = History(log(), hole_age=3600), History(log(), hole_age=-1)
    assert (young.after(conv, 1, 1).entries, young.after(conv, 1, 1).more) == ([], True)
    assert (young.before(conv, 2 + holes, 1).entries, young.before(conv, 2, 9).more) == ([], False)
    assert [each["type"] for each in old.after(conv, 1, 1).entries] == ["void"]
    assert [each["type"] for each in old.before(conv, 2 + holes, 1).entries] == ["void"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100])
def test_the_ends_of_logs_are_found_in_every_way(conv: str, size: int) -> None:
    others = [f"g:{new_id()}" for _ in range(3)]
    log().append([draft(conv, str(n)) for n in range(size)])
    redis_client().incrby(soft(keys.sequence(conv)), 300)  # whose writers died
    log().append([draft(each, f"later {n}") for n in range(2) for each in [conv, *others[:2]]])
    ends = {conv: size + 302, others[0]: 2, others[1]: 2}
    named = [conv, *others]
    assert log().storage.highest(named) == ends | {others[2]: 0}
    messages = database()[MESSAGES]
    for newest in (newest_of(messages), Scanning(messages), Galloping(messages)):
        assert {name: each["seq"] for name, each in newest(named).items()} == ends


def _another_log() -> Log:
    """As another process of the function would have it."""
    return log.__wrapped__()


def test_a_hole_of_any_width_is_closed_by_whoever_meets_it(conv: str) -> None:
    log().append([draft(conv, "1")])
    redis_client().incrby(soft(keys.sequence(conv)), 1700)  # whose writers died
    log().append([draft(conv, "2")])
    history = History(log(), hole_age=-1)
    assert len(history.after(conv, 1, 50).entries) == 50
    stored = log().storage.between(conv, 1, 5000)
    assert [each["seq"] for each in stored] == list(range(1, 1703))
    backward: list[int] = []
    while not backward or backward[0] > 1:
        page = history.before(conv, backward[0] if backward else 1703, 200)
        backward = [each["seq"] for each in page.entries] + backward
    assert backward == list(range(1, 1703))


def test_numbers_go_back_where_the_store_is_away(conv: str) -> None:
    log().append([draft(conv, "1")])
    away = MongoClient[Document]("127.0.0.1", 1, timeoutMS=200, serverSelectionTimeoutMS=100)
    lost = _another_log()
    lost.storage, lost._timeout = Storage(away["nothing"][MESSAGES]), 0.1
    for number in range(10):
        (outcome,) = lost.append([draft(conv, f"waiting {number}")])
        assert isinstance(outcome, CallError)
        assert outcome.reason == Reason.UNAVAILABLE
    (entry,) = log().append([draft(conv, "2")])
    assert isinstance(entry, Entry)
    assert entry.seq == 2
