"""What is shown of a long body in a list."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bodies
from shared.shortening import shortened

LIMIT = 1024
FAMILY = "👨‍👩‍👧‍👦"  # seven code points that people see as one character


def cut(body: Any, limit: int = LIMIT) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(shortened(orjson.dumps({"seq": 1, "body": body}), limit))
    return found


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3000),
    lambda inner: (
        st.lists(inner, max_size=60) | st.dictionaries(st.text(max_size=50), inner, max_size=20)
    ),
    max_leaves=40,
)


@given(st.dictionaries(st.text(max_size=50), values, max_size=20), st.sampled_from([64, 1024]))
def test_whatever_it_is_it_fits_and_says_so(body: dict[str, Any], limit: int) -> None:
    found = cut(body, limit)
    assert len(orjson.dumps(found["body"])) <= limit
    assert found.get("truncated", False) == (len(orjson.dumps(body)) > limit)
    assert "truncated" in found or found["body"] == body


@pytest.mark.parametrize("extra", [0, 1])
def test_the_edge(extra: int) -> None:
    text = "x" * (LIMIT - len(orjson.dumps({"text": ""})) + extra)
    assert ("truncated" in cut({"text": text})) == bool(extra)


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("text", {"text": "長" * 10_000}),
        ("text", {"text": "\x01" * 3000}),
        ("text", {"text": "a" + "\u0301" * 5000}),
        ("card", {"title": "t" * 200, "text": "x" * 4000, "url": "https://e.org/" + "u" * 1900}),
        ("location", {"lat": 1.5, "lon": 2.0, "title": "\x01" * 200}),
        ("file", {"file": "f" * 26, "name": "ж" * 255, "size": 7, "more": "x" * 900}),
        ("custom", {"cells": list(range(5000)), "name": "sheet"}),
        ("custom", {str(number): number for number in range(3000)}),
    ],
)
def test_it_stays_a_body_of_its_type(type_: str, body: dict[str, Any]) -> None:
    found = cut(body)
    assert found["truncated"] is True
    found["body"].pop("more", None)
    bodies.check(type_, found["body"], LIMIT)


def test_what_is_short_in_it_is_whole() -> None:
    uids = [f"uid{number:020}" for number in range(1000)]
    body = cut({"event": "joined", "by": uids[0], "uids": uids, "name": "x" * 500})["body"]
    assert (body["event"], body["by"]) == ("joined", uids[0])
    assert body["uids"] == uids[: len(body["uids"])]
    assert len(body["uids"]) > 5


def test_an_address_is_whole_or_not_there() -> None:
    body = cut({"title": "t", "text": "x" * 4000, "url": "https://e.org/" + "u" * 100})["body"]
    assert body["url"] == "https://e.org/" + "u" * 100
    assert "url" not in cut({"title": "t", "url": "https://e.org/" + "u" * 1900})["body"]


@given(st.integers(0, 30))
def test_characters_are_whole(before: int) -> None:
    text = "x" * before + FAMILY * 200
    (shown,) = cut({"text": text})["body"].values()
    assert text.startswith(shown)
    assert (len(shown) - before) % len(FAMILY) == 0


def test_an_entry_without_a_body_is_left_alone() -> None:
    entry = orjson.dumps({"seq": 1, "mentions": ["u" * 26] * 60})
    assert shortened(entry, LIMIT) == entry
