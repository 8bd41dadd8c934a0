"""Comparing page by page: what is listed first, last, and again."""

from typing import Any

from stonechat.comparison import Comparison


def page(now: int, lasts: dict[str, int], after: str | None = None) -> dict[str, Any]:
    listed = [{"conv": conv, "last_seq": last} for conv, last in lasts.items()]
    found: dict[str, Any] = {"conversations": listed, "now": now}
    return found if after is None else found | {"next": after}


def test_one_page_is_all() -> None:
    comparison = Comparison()
    assert comparison.params == {}
    assert comparison.take(page(50_000, {"a": 1}))
    assert (comparison.lasts, comparison.starts, comparison.now) == ({"a": 1}, {"a": 1}, 50_000)
    later = Comparison(comparison.now)
    assert 0 < later.params["changed_since"] < 50_000  # other clocks may be behind


def test_what_changed_while_pages_were_read_is_asked_for_at_the_end() -> None:
    comparison = Comparison()
    assert not comparison.take(page(50_000, {"a": 1}, "x"))
    assert comparison.params == {"after": "x"}
    assert not comparison.take(page(60_000, {"b": 2}))
    (since,) = comparison.params.values()
    assert since <= 50_000
    assert comparison.take(page(70_000, {"c": 7, "a": 3}))
    assert comparison.lasts == {"a": 3, "b": 2, "c": 7}
    assert comparison.starts == {"a": 1, "b": 2, "c": 7}
    assert comparison.now == 70_000


def test_a_lost_connection_costs_one_more_pass_and_no_page() -> None:
    comparison = Comparison(20_000)
    comparison.take(page(50_000, {"a": 1}, "x"))
    comparison.interrupted()
    assert comparison.params["after"] == "x"
    assert not comparison.take(page(60_000, {"b": 2}))
    comparison.interrupted()
    assert not comparison.take(page(70_000, {}))
    assert comparison.take(page(80_000, {}))
