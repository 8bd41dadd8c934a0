"""What waits for a subscriber, and when it is due."""

from connector.backlog import Backlog, Waiting
from shared.events import Happened


def happened(count: int) -> list[Happened]:
    return [Happened("a", {"n": number}) for number in range(count)]


def numbers(batch: list[Waiting]) -> list[int]:
    return [waiting.event.data["n"] for waiting in batch]


def test_events_go_in_batches_and_an_entry_is_settled_with_its_last() -> None:
    backlog = Backlog(3)
    backlog.add(b"1-0", happened(3), now=0)
    first, second = backlog.take(0, 2), backlog.take(0, 2)
    assert (numbers(first), numbers(second)) == ([0, 1], [2])
    for waiting in first:
        backlog.done(waiting)
    assert backlog.settled() == []
    assert list(backlog.entries) == [b"1-0"]
    backlog.done(second[0])
    assert backlog.settled() == [b"1-0"]
    assert backlog.settled() == []
    assert len(backlog) == 0


def test_an_entry_is_taken_once_and_an_empty_one_is_settled() -> None:
    backlog = Backlog(3)
    backlog.add(b"1-0", happened(2), now=0)
    backlog.add(b"1-0", happened(2), now=0)
    backlog.add(b"2-0", [], now=0)
    assert len(backlog) == 2
    assert backlog.settled() == [b"2-0"]


def test_later_is_due_when_it_said() -> None:
    backlog = Backlog(3)
    backlog.add(b"1-0", happened(1), now=0)
    backlog.later(backlog.take(0, 9)[0], 5)
    assert backlog.next_due == 5
    assert backlog.take(4.9, 9) == []
    assert len(backlog.take(5, 9)) == 1


def test_what_failed_goes_alone_after_a_pause_until_it_is_dead() -> None:
    backlog = Backlog(3)
    backlog.add(b"1-0", happened(2), now=0)
    first, other = backlog.take(0, 9)
    backlog.done(other)
    assert backlog.failed(first, 0)
    due = backlog.next_due
    assert due is not None
    assert 0 < due <= 0.5
    backlog.add(b"2-0", happened(3), now=due)
    assert [len(backlog.take(due, 9)) for _ in range(2)] == [1, 3]
    assert backlog.failed(first, due)
    assert backlog.take(due + 60, 9) == [first]
    assert not backlog.failed(first, due + 60)
    assert backlog.settled() == [b"1-0"]
