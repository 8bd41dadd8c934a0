"""One conversation's order: whatever arrives in whatever order, each entry is applied once."""

from hypothesis import given
from hypothesis import strategies as st
from stonechat.entry import Entry
from stonechat.timeline import Timeline


def entry(seq: int) -> Entry:
    return Entry("d:a:b", seq, f"id{seq:06}", 0, "sender00", "text", {})


@given(st.data(), st.integers(0, 20), st.integers(1, 30))
def test_any_arrival_then_fetching_gives_each_once_in_order(
    data: st.DataObject, start: int, count: int
) -> None:
    stored = range(1, start + count + 1)
    arrivals = data.draw(st.lists(st.sampled_from(stored), max_size=3 * count))
    timeline, applied = Timeline(start), list[int]()
    for seq in arrivals:
        applied += [each.seq for each in timeline.offer(entry(seq))]
    timeline.heard_of(stored[-1])
    while timeline.behind:
        page = [seq for seq in stored if seq > timeline.last][:7]
        for seq in page:
            applied += [each.seq for each in timeline.offer(entry(seq))]
    assert applied == list(stored[start:])


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
