"""Changes with consequences: whoever stops where, all of it happens, once, in order.

The subject is a purse: each command puts a coin into it, and a line of a book follows. A writer is
a `Changes` of its own, as in a process of its own, on a thread that takes one step (a call of the
collection, the commands or the carrying out) when it is told to.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection

from local.stack import Stack
from shared.changes import Change, Changes
from shared.collections import COMMANDS, Document
from shared.commands import Commands
from shared.errors import CallError, Reason
from shared.ids import new_id
from shared.stores import database
from tests.steps import Crash, Stepping, Worker


class Purse:
    """One document and the book of what followed from it."""

    def __init__(self) -> None:
        self.key = new_id()
        self.documents: Collection[Document] = database()["test_purses"]
        self.commands = Commands(database()[COMMANDS], ttl=600, lease=10)
        self.book: list[tuple[int, str]] = []  # (rev, command), each line once
        self._lock = threading.Lock()

    def changes(self, turn: Callable[[], None] | None = None, timeout: float = 60) -> Changes:
        """What a process has. `turn` is called around every step."""
        if turn is None:
            return Changes(self.documents, self.commands, self.carry_out, timeout=timeout)
        documents: Any = Stepping(self.documents, turn)
        commands: Any = Stepping(self.commands, turn)
        carry_out: Any = Stepping(self, turn).carry_out
        return Changes(documents, commands, carry_out, timeout=timeout)

    def carry_out(self, document: Document) -> None:
        with self._lock:
            for command in document["intent"]["lines"]:
                if (line := (document["rev"], command)) not in self.book:
                    self.book.append(line)

    def put(self, changes: Changes, *names: str) -> list[int]:
        """Puts a coin in for each command, and returns how many there were then."""
        keys = [f"{self.key} {name}" for name in names]
        results: dict[str, int] = {}

        def plan(present: Document | None, done: dict[str, Any]) -> Change | None:
            coins = 0 if present is None else present["coins"]
            results.clear()
            results.update(done)
            new = dict.fromkeys(key for key in keys if key not in done)
            made = {key: coins + number for number, key in enumerate(new, 1)}
            if not made:
                return None
            results.update(made)
            return Change({"coins": coins + len(made)}, {"lines": list(made)}, made)

        changes.make(self.key, keys, plan)
        return [results[key] for key in keys]

    def check(self) -> Document | None:
        """Settles what is left, and proves that every coin has its line, in order."""
        document = self.changes().settled(self.key)
        stored = self.documents.find_one({"_id": self.key})
        assert document == stored, "an intent was left"
        lines = [command for _, command in self.book]
        assert len(lines) == len(set(lines)), "a command was done twice"
        assert len(lines) == (0 if document is None else document["coins"])
        revs = [rev for rev, _ in self.book]
        assert revs == sorted(revs), "a later change was carried out first"
        results = self.commands.results(lines)
        assert [results[line] for line in lines] == list(range(1, len(lines) + 1))
        return document


@pytest.fixture
def purse(stores: Stack) -> Purse:
    return Purse()


def test_a_change_and_what_follows(purse: Purse) -> None:
    changes = purse.changes()
    assert purse.put(changes, "one") == [1]
    assert purse.put(changes, "two", "three") == [2, 3]
    document = purse.check()
    assert document == {"_id": purse.key, "rev": 2, "coins": 3}


def test_a_repeated_command_gets_its_first_result(purse: Purse) -> None:
    changes = purse.changes()
    assert purse.put(changes, "one", "two") == [1, 2]
    assert purse.put(changes, "two", "three", "one") == [2, 3, 1]
    assert purse.put(changes, "three", "three") == [3, 3]
    assert [rev for rev, _ in purse.book] == [1, 1, 2]
    purse.check()


def test_a_refusal_leaves_nothing(purse: Purse) -> None:
    def refuse(present: Document | None, done: dict[str, Any]) -> Change | None:
        raise CallError(Reason.CONFLICT)

    with pytest.raises(CallError, match="conflict"):
        purse.changes().make(purse.key, [f"{purse.key} one"], refuse)
    assert purse.check() is None
    assert purse.put(purse.changes(), "one") == [1]


@pytest.mark.parametrize("before", [0, 1])
def test_a_process_may_die_between_any_two_steps(purse: Purse, before: int) -> None:
    """Somebody else finishes: the same command repeated, another one, or a reader."""
    if before:
        purse.put(purse.changes(), "before")
    helps: list[Callable[[str], object]] = [
        lambda name: purse.put(purse.changes(), name),
        lambda name: purse.put(purse.changes(), f"{name} other"),
        lambda name: purse.changes().settled(purse.key),
    ]
    for number, help_ in enumerate(helps):
        for steps in itertools.count():
            name = f"c{number}-{steps}"
            worker = Worker(lambda turn, name=name: purse.put(purse.changes(turn), name))
            for _ in range(steps):
                worker.step()
            if worker.ended:
                break
            worker.crash()
            help_(name)
            purse.check()
            again = purse.put(purse.changes(), name)
            assert purse.put(purse.changes(), name) == again
            purse.check()
        assert steps > 10, "it has more steps than that"


Schedule = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8)), max_size=40)


@settings(
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    commands=st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=4),
    schedule=Schedule,
    crashes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=2),
)
def test_no_schedule_breaks_a_change(
    stores: Stack, commands: list[str], schedule: list[tuple[int, int]], crashes: Any
) -> None:
    """Writers of the same and of different commands, in any order of their steps; some die."""
    purse, deaths = Purse(), dict(crashes)
    workers = [
        Worker(lambda turn, name=name: purse.put(purse.changes(turn), name)) for name in commands
    ]
    taken = [0] * len(workers)
    for index, steps in schedule:
        place = index % len(workers)
        for _ in range(steps):
            taken[place] += 1
            if taken[place] == deaths.get(place, -1):
                workers[place].crash()
            else:
                workers[place].step()
    for worker in workers:
        worker.finish()
    purse.check()
    results: dict[str, set[int]] = {}
    for name, worker in zip(commands, workers, strict=True):
        if not isinstance(worker.error, Crash):
            assert worker.error is None
            results.setdefault(name, set()).update(worker.found)
    for name, found in results.items():
        assert len(found) == 1, "one command had two results"
        assert set(purse.put(purse.changes(), name)) == found


def test_many_at_once(purse: Purse) -> None:
    results: list[int] = []

    def put(number: int) -> None:
        for name in (f"{number} one", f"{number} two", "same"):
            results.extend(purse.put(purse.changes(), name))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = purse.check()
    assert document is not None
    assert document["coins"] == 17
    assert sorted(set(results)) == list(range(1, 18))


def test_it_is_given_up_where_others_change_it_all_the_time(purse: Purse) -> None:
    tries = itertools.count()

    def overtaken(present: Document | None, done: dict[str, Any]) -> Change | None:
        purse.put(purse.changes(), f"quick {next(tries)}")
        return Change({"coins": 0}, {"lines": []}, {})

    with pytest.raises(CallError) as refused:
        purse.changes(timeout=0.05).make(purse.key, [], overtaken)
    assert refused.value.reason == Reason.UNAVAILABLE
    purse.check()


@pytest.mark.parametrize(("age", "settled"), [(0.0, False), (60.0, True)])
def test_readers_settle_only_what_was_left(purse: Purse, age: float, settled: bool) -> None:
    worker = Worker(lambda turn: purse.put(purse.changes(turn), "one"))
    while (left := purse.documents.find_one({"_id": purse.key})) is None:
        worker.step()
    worker.crash()
    purse.changes().settle_old(left | {"intent_at": time.time() - age})
    stored = purse.documents.find_one({"_id": purse.key})
    assert stored is not None
    assert ("intent" not in stored) == bool(purse.book) == settled
    purse.check()


def test_what_cannot_be_carried_out_is_left_for_the_next(purse: Purse) -> None:
    def fail(document: Document) -> None:
        raise CallError(Reason.UNAVAILABLE)

    broken = Changes(purse.documents, purse.commands, fail, timeout=1)
    for _ in range(2):
        with pytest.raises(CallError, match="unavailable"):
            purse.put(broken, "one")
    assert purse.put(purse.changes(), "one") == [1]
    purse.check()
