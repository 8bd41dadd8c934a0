"""Changes with consequences: each is carried out by one at a time, whoever dies or stands still."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo.collection import Collection

from local.stack import Stack
from shared import changes
from shared.changes import Change, Changes
from shared.collections import COMMANDS, Document
from shared.commands import Commands
from shared.errors import CallError, Reason
from shared.holds import Holds
from shared.ids import new_id
from shared.stores import database

READERS = 20
GRACE = 0.4


class Bench:
    """A collection of its own. What is carried out is noted, and does what `work` says."""

    def __init__(self) -> None:
        self.documents: Collection[Document] = database()[f"test_changes_{new_id()}"]
        self.done: list[tuple[str, int]] = []
        self.work: Callable[[], None] = lambda: None

    def process(self, timeout: float = 5.0) -> Changes:
        """As another process has them."""
        commands = Commands(database()[COMMANDS], ttl=60, lease=1)
        return Changes(self.documents, commands, self._carry_out, timeout=timeout)

    def change(self, key: str, timeout: float = 5.0) -> Document | None:
        return self.process(timeout).make(key, [], plan)

    def left(self, key: str, ago: float) -> Document:
        """An intent whose writer died so long ago."""
        document = {
            "_id": key,
            "rev": 1,
            "count": 1,
            "intent": {},
            "intent_results": [],
            "intent_at": time.time() - ago,
        }
        self.documents.insert_one(document)
        return document

    def found(self, key: str) -> Document:
        document = self.documents.find_one({"_id": key})
        assert document is not None
        return document

    def _carry_out(self, document: Document) -> None:
        self.done.append((document["_id"], document["rev"]))
        self.work()


def plan(present: Document | None, results: dict[str, Any]) -> Change:
    count = 0 if present is None else present["count"]
    return Change({"count": count + 1}, {}, {})


@pytest.fixture
def bench(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(changes, "_GRACE", GRACE)
    monkeypatch.setattr(changes, "_holds", Holds(GRACE / 4))
    made = Bench()
    yield made
    made.documents.drop()


def test_an_old_intent_is_carried_out_by_one_of_many_readers(bench: Bench) -> None:
    """However long it takes, and whoever else comes meanwhile."""
    key, going = new_id(), threading.Event()
    stale = bench.left(key, ago=60)
    bench.work = lambda: going.wait(5) and None
    with ThreadPoolExecutor(READERS) as pool:
        first = pool.submit(bench.process().settle_old, dict(stale))
        until(lambda: bool(bench.done))
        others = [pool.submit(bench.process().settle_old, dict(stale)) for _ in range(READERS - 1)]
        for each in others:
            each.result(5)
        late = bench.found(key)
        until(lambda: bench.found(key)["intent_at"] > late["intent_at"] + GRACE)
        bench.process().settle_old(bench.found(key))
        going.set()
        first.result(5)
    assert bench.done == [(key, 1)]
    assert "intent" not in bench.found(key)


def test_readers_at_once_are_one(bench: Bench) -> None:
    key, start = new_id(), threading.Barrier(READERS)
    stale = bench.left(key, ago=60)

    def read() -> None:
        process = bench.process()
        start.wait(5)
        process.settle_old(dict(stale))

    with ThreadPoolExecutor(READERS) as pool:
        for each in [pool.submit(read) for _ in range(READERS)]:
            each.result(10)
    assert bench.done == [(key, 1)]


def test_a_writer_waits_for_who_carries_out(bench: Bench) -> None:
    key, going = new_id(), threading.Event()
    bench.work = lambda: going.wait(5) and None
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bench.change, key)
        until(lambda: bool(bench.done))
        second = pool.submit(bench.change, key)
        until(lambda: bench.found(key)["intent_at"] > time.time() - GRACE)
        assert bench.done == [(key, 1)]
        going.set()
        first.result(5)
        second.result(5)
    assert bench.done == [(key, 1), (key, 2)]
    assert bench.found(key) == {"_id": key, "rev": 2, "count": 2}


def test_a_writer_does_not_wait_for_ever(bench: Bench) -> None:
    key, going = new_id(), threading.Event()
    bench.work = lambda: going.wait(10) and None
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(bench.change, key)
        until(lambda: bool(bench.done))
        with pytest.raises(CallError) as refused:
            bench.change(key, timeout=3 * GRACE)
        going.set()
        first.result(5)
    assert refused.value.reason == Reason.UNAVAILABLE
    assert bench.done == [(key, 1)]


@pytest.mark.parametrize("ago", [60, 0, -60], ids=["long dead", "just now", "by a fast clock"])
def test_what_a_dead_one_left_is_carried_out(bench: Bench, ago: float) -> None:
    """A clock that is ahead does not keep it from being noticed that nobody renews it."""
    key = new_id()
    bench.left(key, ago)
    bench.change(key)
    assert bench.done == [(key, 1), (key, 2)]


def test_readers_go_on_without_what_is_under_way(bench: Bench) -> None:
    bench.process().settle_old(bench.left(key := new_id(), ago=0))
    assert bench.done == []
    assert "intent" in bench.found(key)


def test_who_fails_leaves_it_to_the_next(bench: Bench) -> None:
    key = new_id()

    def fail() -> None:
        bench.work = lambda: None
        raise RuntimeError("broken")

    bench.work = fail
    with pytest.raises(RuntimeError):
        bench.change(key)
    bench.process().settle_old(bench.found(key))
    assert bench.done == [(key, 1), (key, 1)]
    assert "intent" not in bench.found(key)


def test_who_stood_still_does_not_undo_what_came_after(bench: Bench) -> None:
    """The intent was taken from it, and another change is under way."""
    key, going = new_id(), threading.Event()
    stale = bench.left(key, ago=60)
    bench.work = lambda: going.wait(10) and None
    with ThreadPoolExecutor(1) as pool:
        helper = pool.submit(bench.process().settle_old, dict(stale))
        until(lambda: bool(bench.done))
        bench.work = lambda: None
        taken = {"rev": 2, "count": 2, "intent": {"later": 1}, "intent_at": time.time()}
        bench.documents.update_one({"_id": key}, {"$set": taken})
        going.set()
        helper.result(5)
    assert bench.found(key)["intent"] == {"later": 1}
    assert bench.found(key)["intent_at"] == taken["intent_at"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
