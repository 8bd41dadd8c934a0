"""What functions answer: passed on as it came where it is an answer, nonsense otherwise."""

from typing import Any

import orjson
import pytest

from connector import answers
from connector.answers import NonsenseError, parse
from shared.errors import CallError, Reason

ERROR: dict[str, Any] = {"code": -32004, "message": "no", "data": {"reason": "conflict"}}


def line(value: Any) -> bytes:
    return orjson.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        {"result": None},
        {"result": {"a": [1, "é", "\u2028", {"b": None}]}},
        {"result": False},
        {"result": {"error": ERROR}},
        {"error": ERROR},
        {"error": ERROR | {"data": {"reason": "of_a_team", "more": [1]}}},
        {"error": ERROR | {"data": {"reason": "unavailable", "retry_after": 0}}},
        {"error": ERROR | {"data": {"reason": "unavailable", "retry_after": 1.5}}},
        {"error": ERROR | {"odd": True}},
        {"error": CallError(Reason.UNAVAILABLE, retry_after=1).as_dict()},
    ],
)
def test_an_answer_is_passed_on_as_it_came(value: Any) -> None:
    spaced = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).replace(b'":', b'": ')
    assert parse(b"\n".join([line(value), spaced, answers.PASSED]), 3) == [
        line(value),
        spaced,
        answers.PASSED,
    ]
    assert parse(line(value) + b"\n", 1) == [line(value)]
    assert parse(line(value) + b"\r\n" + line(value) + b"\r\n", 2) == [line(value)] * 2


def without(**fields: Any) -> Any:
    return {"error": {name: each for name, each in (ERROR | fields).items() if each is not ...}}


def waiting(retry_after: Any) -> Any:
    return without(data={"reason": "unavailable", "retry_after": retry_after})


NONSENSE = [
    b"",
    b" ",
    b"null",
    b"0",
    b"true",
    b'"result"',
    b"[]",
    b'[{"result":1}]',
    b"{}",
    b"{",
    b'{"result":}',
    b'{"result":1',
    b'{"result":1}{"result":2}',
    b"\xff\xfe",
    b'{"result":"\xff"}',
    b'{"result":NaN}',
    b'{"result":Infinity}',
    b"<html><body>502 Bad Gateway</body></html>",
    b"Internal Server Error",
    b"\x00" * 100,
    b"\x1f\x8b\x08\x00",
    b"[" * 5000,
    b'{"result":' * 2000,
    line({"Result": 1}),
    line({"result": 1, "error": ERROR}),
    line({"result": 1, "odd": 1}),
    line({"jsonrpc": "2.0", "id": 1, "result": 1}),
    line({"error": None}),
    line({"error": "failed"}),
    line({"error": 500}),
    line({"error": []}),
    line({"error": {}}),
    *(line(without(code=code)) for code in (..., None, "1", 1.5, True, [1], {})),
    *(line(without(message=message)) for message in (..., None, 5, ["no"], {})),
    *(line(without(data=data)) for data in (..., None, 5, "x", [], {}, {"reason": None})),
    *(line(without(data={"reason": reason})) for reason in (5, [], {}, True)),
    *(line(waiting(wait)) for wait in (None, "1", "soon", True, -1, -0.5, [], {})),
    b'{"error":{"code":1,"message":"m","data":{"reason":"r","retry_after":1e999}}}',
]


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: repr(text[:60]))
def test_nonsense_is_the_functions_failure(text: bytes) -> None:
    with pytest.raises(NonsenseError):
        parse(text, 1)
    with pytest.raises(NonsenseError):
        parse(b"\n".join([answers.PASSED, text, answers.PASSED]), 3)


@pytest.mark.parametrize("count", [1, 2, 4, 100])
def test_so_many_answers_as_calls(count: int) -> None:
    with pytest.raises(NonsenseError, match="3 answers"):
        parse(b"\n".join([answers.PASSED] * 3), count)


def test_a_blank_line_is_no_answer() -> None:
    with pytest.raises(NonsenseError):
        parse(answers.PASSED + b"\n\n" + answers.PASSED, 3)


def test_results_and_errors_are_told_apart() -> None:
    refusal = answers.refused(CallError(Reason.CONFLICT))
    assert parse(refusal, 1) == [refusal]
    error = answers.error(refusal)
    assert error is not None
    assert error["data"] == {"reason": "conflict"}
    assert answers.result(refusal) is None
    assert answers.error(b'{"result":{"error":1}}') is None
    assert answers.result(b'{"result":{"error":1}}') == {"error": 1}
