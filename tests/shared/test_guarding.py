"""The guards by which a batch is no shared fate."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from pymongo.errors import AutoReconnect

from shared.errors import CallError, Reason
from shared.guarding import each, refusal, side_by_side, together


def reasons(answers: Sequence[Any]) -> list[Any]:
    return [answer.reason if isinstance(answer, CallError) else answer for answer in answers]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (CallError(Reason.MUTED), Reason.MUTED),
        (AutoReconnect("gone"), Reason.UNAVAILABLE),
        (redis.ConnectionError("gone"), Reason.UNAVAILABLE),
        (RecursionError(), Reason.INTERNAL),
        (KeyError("x"), Reason.INTERNAL),
    ],
)
def test_what_a_caller_is_told_of_a_failure(failure: Exception, reason: Reason) -> None:
    assert refusal(failure, "here").reason == reason


def test_each_fails_alone() -> None:
    assert reasons(each([2, 0, 1], lambda n: 2 // n, "here")) == [1, Reason.INTERNAL, 2]
    assert each([], lambda n: n, "here") == []


def test_items_of_one_key_wait_for_each_other_and_others_do_not() -> None:
    keys = 12
    meeting = threading.Barrier(keys, timeout=20)
    done: dict[int, list[int]] = {key: [] for key in range(keys)}

    def work(item: tuple[int, int]) -> int:
        key, number = item
        if number == 1:
            meeting.wait()  # all keys are under way now
        done[key].append(number)
        return 10 // (number - 2)

    items = [(key, number) for number in range(4) for key in range(keys)]
    found = reasons(side_by_side(items, lambda item: item[0], work, "here"))
    assert found == [-5] * keys + [-10] * keys + [Reason.INTERNAL] * keys + [10] * keys
    assert list(done.values()) == [[0, 1, 2, 3]] * keys
    assert side_by_side([], hash, work, "here") == []


def test_more_keys_than_threads_are_all_done() -> None:
    items = list(range(500))
    assert side_by_side(items, lambda n: n, lambda n: n + 1, "here") == list(range(1, 501))


@pytest.mark.parametrize("bad", [set(), {0}, {9}, {3, 4}, set(range(10))], ids=str)
def test_what_breaks_all_is_found(bad: set[int]) -> None:
    def work(items: Sequence[int]) -> list[int]:
        if bad.intersection(items):
            raise ValueError
        return list(items)

    found = reasons(together(range(10), work, "here"))
    assert found == [Reason.INTERNAL if n in bad else n for n in range(10)]


def test_a_store_that_does_not_answer_is_asked_once() -> None:
    asked: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        asked.append(len(items))
        raise AutoReconnect("gone")

    assert reasons(together(range(10), work, "here")) == [Reason.UNAVAILABLE] * 10
    assert asked == [10]
