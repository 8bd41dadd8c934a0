"""One conversation's order: whatever arrives in whatever order, each entry is applied once."""

from hypothesis import given
from hypothesis import strategies as st
from stonechat.entry import Entry
from stonechat.timeline import Timeline


def entry(seq: int) -> Entry:
    return Entry("d:a:b", seq, f"id{seq:06}", 0, "sender00", "text", {})


def seqs(entries: list[Entry]) -> list[int]:
    return [each.seq for each in entries]


@given(st.data(), st.integers(0, 20), st.integers(1, 30))
def test_any_arrivals_among_any_pages_give_each_once_in_order(
    data: st.DataObject, start: int, count: int
) -> None:
    stored = range(1, start + count + 1)
    timeline, applied = Timeline(start), list[int]()
    for _ in range(data.draw(st.integers(0, 20))):
        match data.draw(st.sampled_from(["arrives", "hint", "page", "old page"])):
            case "arrives":  # late, early, twice, or not at all
                applied += seqs(timeline.offer(entry(data.draw(st.sampled_from(stored)))))
            case "hint":
                timeline.heard_of(data.draw(st.sampled_from(stored)))
            case "page":
                applied += seqs(timeline.page(timeline.last, page(timeline.last, stored)))
            case _:  # asked for before something else was applied
                after = data.draw(st.integers(start, max(start, timeline.last)))
                applied += seqs(timeline.page(after, page(after, stored)))
    timeline.heard_of(stored[-1])
    while timeline.behind:
        applied += seqs(timeline.page(timeline.last, page(timeline.last, stored)))
    assert applied == list(stored[start:])


def page(after: int, stored: range) -> list[Entry]:
    return [entry(seq) for seq in stored if seq > after][:7]


def test_what_is_too_far_ahead_is_fetched_later() -> None:
    timeline = Timeline(0)
    assert timeline.offer(entry(50_000)) == []
    assert timeline.behind
    applied = [each.seq for seq in range(1, 50_001) for each in timeline.offer(entry(seq))]
    assert applied == list(range(1, 50_001))
    assert not timeline.behind


def test_a_hint_below_the_last_changes_nothing() -> None:
    timeline = Timeline(5)
    timeline.heard_of(3)
    assert not timeline.behind
    timeline.heard_of(6)
    assert timeline.behind


def test_a_view_that_begins_later_begins_where_its_first_page_does() -> None:
    timeline = Timeline(0)
    assert timeline.offer(entry(9)) == []
    assert seqs(timeline.page(0, [entry(7), entry(8)])) == [7, 8, 9]
    assert not timeline.behind


def test_a_page_that_was_asked_for_earlier_skips_nothing() -> None:
    timeline = Timeline(0)
    timeline.offer(entry(1))
    assert timeline.page(0, [entry(3), entry(4)]) == []
    assert timeline.behind
    assert seqs(timeline.offer(entry(2))) == [2, 3, 4]


def test_what_is_ahead_can_be_given_up() -> None:
    timeline = Timeline(2)
    timeline.offer(entry(5))
    timeline.forget()
    assert not timeline.behind
    assert seqs(timeline.offer(entry(3))) == [3]
