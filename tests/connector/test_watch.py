"""What is due for a session, and when."""

from typing import Any

import pytest

from connector.session import Session
from connector.watch import Due, Times, Verdict, Watch, verdict
from tests.connector import outlets

TIMES = Times(open=10, ping_after=20, pong=10)


def session(**state: Any) -> Session:
    return outlets.session(now=100.0, **state)


@pytest.mark.parametrize(
    ("state", "clock", "wall", "expected"),
    [
        ({}, 110, 0, None),
        ({}, 111, 0, "unopened"),
        ({"opened": True, "expires": 45.0}, 101, 49.9, None),
        ({"opened": True, "expires": 45.0}, 101, 50.0, "expired"),
        ({"opened": True, "expires": 45.0, "closing": True}, 101, 50.0, None),
        ({"opened": True, "expires": 1e9}, 120, 0, None),
        ({"opened": True, "expires": 1e9}, 121, 0, "ping"),
        ({"opened": True, "expires": 1e9}, 1000, 0, "ping"),
        ({"opened": True, "expires": 1e9, "pinged": 121.0}, 131, 0, None),
        ({"opened": True, "expires": 1e9, "pinged": 121.0}, 132, 0, "dead"),
    ],
)
def test_due(state: dict[str, object], clock: float, wall: float, expected: Verdict | None) -> None:
    assert verdict(session(**state), TIMES, clock, wall) == expected


def opened(**state: Any) -> Session:
    return session(opened=True, expires=1e9, **state)


def looked_at(watch: Watch, here: set[Session], clocks: range) -> list[tuple[int, Verdict]]:
    """When what was due, at a look a second."""
    return [(clock, each.verdict) for clock in clocks for each in watch.due(here, clock, 0)]


def test_what_is_due_is_found_within_a_second_of_its_time() -> None:
    watch, silent = Watch(TIMES, 100.0), opened()
    watch.add(silent, 100.0)
    assert looked_at(watch, {silent}, range(101, 121)) == []
    assert watch.due({silent}, 121.0, 0) == [Due(silent, "ping")]
    silent.pinged = 121.0
    assert looked_at(watch, {silent}, range(122, 134)) == [(132, "dead"), (133, "dead")]


def test_who_speaks_is_asked_later() -> None:
    watch, talker = Watch(TIMES, 100.0), opened()
    watch.add(talker, 100.0)
    assert watch.due({talker}, 110.0, 0) == []
    talker.seen = 115.0
    assert looked_at(watch, {talker}, range(111, 137)) == [(136, "ping")]


def test_a_token_ends_in_its_second() -> None:
    watch, ending = Watch(TIMES, 100.0), session(opened=True, expires=0.5)
    watch.add(ending, 100.0)
    found = [each for past in range(1, 8) for each in watch.due({ending}, 100.0 + past, past)]
    assert found == [Due(ending, "expired")] * 2  # at 6 and at 7, as nobody closed it


def test_a_session_that_opens_is_looked_at_anew() -> None:
    watch, late = Watch(TIMES, 100.0), session()
    watch.add(late, 100.0)
    assert looked_at(watch, {late}, range(101, 110)) == []
    late.opened, late.expires = True, 1.0
    assert watch.due({late}, 110.0, 6.0) == [Due(late, "expired")]


def test_who_is_gone_is_forgotten() -> None:
    watch, gone = Watch(TIMES, 100.0), opened()
    watch.add(gone, 100.0)
    assert looked_at(watch, set(), range(101, 122)) == []
    assert looked_at(watch, {gone}, range(122, 200)) == []


def test_a_clock_that_jumped_finds_all() -> None:
    watch, silent = Watch(TIMES, 100.0), opened()
    watch.add(silent, 100.0)
    assert watch.due({silent}, 500.0, 0) == [Due(silent, "ping")]
