"""Buckets at their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import limits
from connector.limits import Bucket, Rate
from shared.settings import Settings


def test_a_burst_is_there_at_once_and_then_the_rate() -> None:
    bucket = Bucket(Rate(2.0, 3), 100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(100.0) == 0.5
    assert bucket.take(100.25) == 0.25
    assert bucket.take(100.5) == 0.0
    assert bucket.take(100.5) == 0.5


def test_no_more_than_a_burst_is_saved() -> None:
    bucket = Bucket(Rate(1000.0, 2), 0.0)
    assert [bucket.take(1e6) > 0 for _ in range(3)] == [False, False, True]


def test_more_than_a_burst_is_given_by_a_full_bucket_and_owed() -> None:
    bucket = Bucket(Rate(10.0, 100), 0.0)
    assert bucket.take(0.0, 250) == 0.0
    assert bucket.take(0.0, 1) == pytest.approx(15.1)
    assert bucket.take(15.0, 1) == pytest.approx(0.1)
    assert bucket.take(15.101, 1) == 0.0


def test_a_bucket_that_is_not_full_gives_nothing_that_is_more_than_a_burst() -> None:
    bucket = Bucket(Rate(10.0, 100), 0.0)
    assert bucket.take(0.0, 1) == 0.0
    assert bucket.take(0.0, 101) == pytest.approx(0.1)
    assert bucket.take(0.1, 101) == 0.0


def test_the_wait_is_never_none_where_something_is_missing() -> None:
    bucket = Bucket(Rate(1e9, 1), 0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == 0.001


@given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 1000),
    asked=st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 50)), min_size=1, max_size=50),
)
def test_nobody_gets_more_than_the_rate_and_a_burst(
    rate: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    """But for the last, which may have been more than a burst."""
    bucket, clock, given_, last = Bucket(Rate(rate, burst), 0.0), 0.0, 0.0, 0.0
    for pause, amount in asked:
        clock += pause
        if bucket.take(clock, amount) == 0.0:
            given_ += amount
            last = amount
    assert given_ <= burst + clock * rate + max(0.0, last - burst) + 1e-6 * given_


@given(
    rate=st.floats(1, 1000),
    burst=st.floats(1, 100),
    asked=st.lists(st.floats(0.1, 300), min_size=1, max_size=20),
)
def test_after_the_wait_that_was_told_it_is_there(
    rate: float, burst: float, asked: list[float]
) -> None:
    bucket, clock = Bucket(Rate(rate, burst), 0.0), 0.0
    for amount in asked:
        while (wait := bucket.take(clock, amount)) > 0:
            clock += wait + 0.0005  # what is told is rounded to ms
            assert bucket.take(clock, 0.0) == 0.0 or wait > 0.001
    assert clock <= (sum(asked) / rate) + len(asked) * 0.1 + burst / rate


def test_strangers_may_do_less_than_who_signed_in() -> None:
    config = Settings()
    known, stranger = limits.signed_in(config), limits.anonymous(config)
    assert stranger.calls.per_second < known.calls.per_second
    assert stranger.frame < known.frame
    everybody = limits.anonymous_address(config)
    assert stranger.calls.per_second <= everybody.calls.per_second
    assert everybody.frame == stranger.frame
