"""Pauses grow to a cap, and are spread over their whole range."""

from stonechat.backoff import Backoff


def test_pauses_stay_below_a_limit_that_doubles_up_to_the_cap() -> None:
    for _ in range(200):
        backoff = Backoff(base=1.0, cap=5.0)
        for limit in (1.0, 2.0, 4.0, 5.0, 5.0):
            assert 0 <= backoff.next() <= limit
        backoff.reset()
        assert backoff.next() <= 1.0


def test_pauses_differ() -> None:
    assert len({Backoff().next() for _ in range(50)}) > 40
