"""Sockets without a session: a few of each address."""

from connector.crowd import Crowd


def test_the_oldest_of_an_address_goes_when_there_are_too_many() -> None:
    waiting: Crowd[str] = Crowd(2)
    assert [waiting.put("here", name) for name in "abcd"] == [None, None, "a", "b"]
    assert len(waiting) == 2


def test_as_many_as_come_too_many_go() -> None:
    """Though none of those that were sent away has left yet."""
    waiting: Crowd[int] = Crowd(3)
    gone = [waiting.put("here", number) for number in range(10)]
    assert gone == [None] * 3 + list(range(7))
    for number in range(7):
        waiting.remove("here", number)
    assert len(waiting) == 3


def test_addresses_do_not_crowd_each_other() -> None:
    waiting: Crowd[str] = Crowd(1)
    assert [waiting.put(place, place) for place in "abc"] == [None] * 3
    assert waiting.put("b", "another") == "b"


def test_who_opened_or_left_is_not_counted() -> None:
    waiting: Crowd[str] = Crowd(2)
    for name in "ab":
        waiting.put("here", name)
    waiting.remove("here", "a")
    waiting.remove("here", "a")
    waiting.remove("nowhere", "x")
    assert waiting.put("here", "c") is None
    assert waiting.put("here", "d") == "b"


def test_room_is_made_where_most_wait_the_oldest_first() -> None:
    waiting: Crowd[str] = Crowd(9)
    assert waiting.take_oldest() is None
    for place, name in (("one", "a"), ("many", "b"), ("many", "c"), ("many", "d")):
        waiting.put(place, name)
    assert [waiting.take_oldest() for _ in range(2)] == ["b", "c"]
    assert {waiting.take_oldest() for _ in range(2)} == {"a", "d"}
    assert waiting.take_oldest() is None


def test_nothing_is_kept_of_an_address_where_nobody_waits() -> None:
    waiting: Crowd[int] = Crowd(1)
    for number in range(100):
        waiting.put(str(number), number)
        waiting.remove(str(number), number)
    assert not waiting._places
