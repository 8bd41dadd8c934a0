"""Which sessions listen to a channel, and what Redis is to be told."""

from connector.session import Session
from connector.subscriptions import Subscriptions
from tests.connector import outlets


def session(number: int) -> Session:
    return outlets.session(sid=f"sid{number:05}", number=number)


def test_redis_is_told_of_the_first_and_the_last_only() -> None:
    subscriptions, one, two = Subscriptions(), session(1), session(2)
    told = []
    for step in (
        lambda: subscriptions.subscribe(one, "a"),
        lambda: subscriptions.subscribe(two, "a"),
        lambda: subscriptions.unsubscribe(one, "a"),
        lambda: subscriptions.unsubscribe(two, "a"),
    ):
        step()
        told.append((set(subscriptions.dirty), "a" in subscriptions))
        subscriptions.dirty.clear()
    assert told == [({"a"}, True), (set(), True), (set(), True), ({"a"}, False)]


def test_a_session_on_two_channels_counts_once() -> None:
    subscriptions, one, two = Subscriptions(), session(1), session(2)
    for channel in ("a", "b"):
        subscriptions.subscribe(one, channel)
    subscriptions.subscribe(two, "b")
    assert subscriptions.of_any(["a", "b", "nobody"]) == {one, two}
    assert subscriptions.of_any(["a"]) == {one}
    assert subscriptions.of_any(["nobody"]) == set()


def test_a_session_that_is_gone_listens_to_nothing() -> None:
    subscriptions, one = Subscriptions(), session(1)
    for channel in ("a", "b"):
        subscriptions.subscribe(one, channel)
    subscriptions.dirty.clear()
    subscriptions.drop(one)
    assert (one.channels, len(subscriptions), subscriptions.dirty) == (set(), 0, {"a", "b"})


def test_leaving_a_channel_one_is_not_on_changes_nothing() -> None:
    subscriptions, one, two = Subscriptions(), session(1), session(2)
    subscriptions.subscribe(one, "a")
    subscriptions.unsubscribe(two, "a")
    assert subscriptions.of("a") == {one}
