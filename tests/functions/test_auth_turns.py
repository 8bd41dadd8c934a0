"""Turns: who waits behind whom."""

import threading
from collections.abc import Iterator

import pytest

from functions.auth.turns import Place, Turns
from shared.errors import CallError


class Line:
    """One thread, held up until `go`; what it did, in order."""

    def __init__(self, threads: int = 1) -> None:
        self.turns = Turns(threads, patience=60)
        self.did: list[object] = []
        self._gate = threading.Event()
        self._all = []
        begun = threading.Barrier(threads + 1)
        for number in range(threads):
            self._all.append(
                self.turns.ask((f"held{number}", ""), lambda: (begun.wait(10), self._gate.wait(10)))
            )
        begun.wait(10)

    def ask(self, place: Place, what: object) -> None:
        self._all.append(self.turns.ask(place, lambda: self.did.append(what)))

    def go(self) -> list[object]:
        self._gate.set()
        for each in self._all:
            each.result(10)
        return self.did


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.go()


def test_a_flood_from_one_source_stands_before_nobody_else(line: Line) -> None:
    for number in range(2000):
        line.ask(("flood", f"name{number % 50}"), number)
    line.ask(("home", "alice"), "alice")
    assert line.go().index("alice") <= 1


def test_a_flood_at_one_name_stands_before_no_other_of_its_source(line: Line) -> None:
    for number in range(500):
        line.ask(("there", "victim"), number)
    line.ask(("there", "alice"), "alice")
    assert line.go().index("alice") <= 1


def test_one_name_keeps_its_order(line: Line) -> None:
    for number in range(50):
        line.ask(("there", "alice"), number)
    assert line.go() == list(range(50))


def test_one_name_has_one_turn_at_a_time() -> None:
    line = Line(threads=4)
    at_once: list[int] = []
    running = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running
        with lock:
            running += 1
            at_once.append(running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1

    asked = [line.turns.ask(("there", "alice"), work) for _ in range(40)]
    line.go()
    for each in asked:
        each.result(10)
    assert set(at_once) == {1}


def test_a_failure_is_that_turns_own(line: Line) -> None:
    def fails() -> None:
        raise ValueError("mine")

    failed = line.turns.ask(("there", "bob"), fails)
    line.ask(("there", "bob"), "next")
    assert line.go() == ["next"]
    with pytest.raises(ValueError, match="mine"):
        failed.result(10)


def test_who_waited_too_long_is_told_so() -> None:
    late = Turns(1, patience=0).ask(("there", "bob"), lambda: None)
    with pytest.raises(CallError) as refused:
        late.result(10)
    assert refused.value.reason == "overloaded"
