"""JSON from outside is as deep as it may be, and no deeper."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bounded_json
from shared.bounded_json import LEVELS, TooDeepError, brackets, is_deeper, loads

SHAPES = {
    "arrays": ("[", "]"),
    "objects": ('{"a":', "}"),
    "both": ('[{"a":', "}]"),
    "second in line": ('[1,"x",', "]"),
    "last member": ('{"a":1,"b":', "}"),
}


def nested(shape: str, levels: int) -> bytes:
    begin, end = SHAPES[shape]
    if shape == "both":
        odd = levels % 2
        return ("[" * odd + begin * (levels // 2) + "0" + end * (levels // 2) + "]" * odd).encode()
    return (begin * levels + "0" + end * levels).encode()


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_at_the_edge_and_beyond(shape: str) -> None:
    assert orjson.dumps(loads(nested(shape, LEVELS))) == nested(shape, LEVELS)
    with pytest.raises(TooDeepError):
        loads(nested(shape, LEVELS + 1))


def test_the_innermost_may_be_empty() -> None:
    loads(b"[" * LEVELS + b"]" * LEVELS)
    with pytest.raises(TooDeepError):
        loads(b"[" * (LEVELS + 1) + b"]" * (LEVELS + 1))


@pytest.mark.parametrize(
    "value",
    [
        "[" * 1000,
        {"{" * 200: "}" * 200},
        ["[[[", {"a": "[" * 100, "b\\": '"[{'}],
        [[]] * 1000,
        [{"a": [1]}] * 500,
        {str(number): {} for number in range(300)},
    ],
    ids=["text", "names", "escaped", "side by side", "in line", "members"],
)
def test_many_brackets_are_not_depth(value: Any) -> None:
    text = orjson.dumps(value)
    assert brackets(text) > LEVELS
    assert loads(text) == value


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 5000, b'{"a":' * 2000, b"NaN", b"\xff", b'"\\ud800"', b"[1,]", b"1 2"],
)
def test_what_is_no_json_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


def test_the_limit_is_the_callers() -> None:
    assert loads(b"[[]]", 2) == [[]]
    with pytest.raises(TooDeepError):
        loads(b"[[]]", 1)
    assert loads(b"0", 0) == 0
    with pytest.raises(TooDeepError):
        loads(b"[]", 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("[{a"), inner, max_size=3),
    max_leaves=20,
)


def depth(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case list():
            return 1 + max(map(depth, value), default=0)
        case _:
            return 0


@given(JSON, st.integers(0, 6))
def test_depth_is_what_it_is_by_definition(value: Any, levels: int) -> None:
    assert is_deeper(value, levels) == (depth(value) > levels)
    assert brackets(json.dumps(value).encode()) >= depth(value)


def test_what_is_let_in_can_be_written_within_an_event_and_a_batch() -> None:
    value = loads(nested("both", LEVELS))
    assert orjson.dumps([{"data": {"params": value}}])
    assert bounded_json.LEVELS + 3 < 254
