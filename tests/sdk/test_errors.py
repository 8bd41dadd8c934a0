"""Every row of the protocol's error table has its class, whose text helps who reads it."""

from typing import Any

import pytest
from stonechat import errors

ROWS = {
    -32700: errors.Internal,
    -32600: errors.Internal,
    -32601: errors.UnknownMethod,
    -32602: errors.InvalidParams,
    -32603: errors.Internal,
    -32001: errors.Unauthenticated,
    -32002: errors.Forbidden,
    -32003: errors.NotFound,
    -32004: errors.Conflict,
    -32005: errors.TooFast,
    -32006: errors.TryAgain,
    -32007: errors.TooLarge,
    -1: errors.Internal,
}


def raised(code: int, message: Any = "no", **data: Any) -> errors.StonechatError:
    with pytest.raises(errors.StonechatError) as found:
        errors.result({"error": {"code": code, "message": message, "data": data}})
    return found.value


@pytest.mark.parametrize("code", ROWS)
def test_a_code_is_raised_as_its_class(code: int) -> None:
    error = raised(code, reason="why", more=1, id="r1")
    assert type(error) is ROWS[code]
    assert (error.code, error.reason, error.id) == (code, "why", "r1")
    assert error.data["more"] == 1
    assert str(error) == "no (why, r1)"


def test_an_error_without_data_is_still_one() -> None:
    with pytest.raises(errors.NotFound) as found:
        errors.result({"error": {"code": -32003, "message": "no"}})
    assert (found.value.reason, found.value.id, str(found.value)) == ("", None, "no (-32003)")


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([{"loc": ["to"], "msg": "Field required"}], "no: to: Field required (bad)"),
        (
            [{"loc": ["body", "text"], "msg": "too long"}, {"loc": ["uids", 3], "msg": "what"}],
            "no: body.text: too long; uids.3: what (bad)",
        ),
        ([{"loc": [], "msg": "give either"}], "no: give either (bad)"),
        ([{"loc": "odd"}, 5, {"msg": 3}], "no: odd;  (bad)"),
        ("odd", "no (bad)"),
        (None, "no (bad)"),
    ],
)
def test_refused_params_name_their_fields(places: Any, text: str) -> None:
    assert str(raised(-32602, reason="bad", errors=places)) == text


def test_texts_say_what_helps() -> None:
    assert str(raised(-32005, reason="rate_limited", retry_after=2.5)) == (
        "no: again in 2.5 s (rate_limited)"
    )
    assert str(raised(-32002, reason="forbidden", permission="group.create")) == (
        "no: wants the permission group.create (forbidden)"
    )
    assert str(raised(-32003, message=7)) == "NotFound (-32003)"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(3, 3), (0.5, 0.5), (-1, 0), (1e300, 300), (float("inf"), 0), ("5", 0), (None, 0), ([], 0)],
)
def test_a_pause_is_a_time_that_one_can_wait(asked: Any, seconds: float) -> None:
    error = raised(-32006, retry_after=asked)
    assert isinstance(error, errors.TryAgain)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "answer",
    [{}, {"error": 5}, {"error": None}, {"error": {}}, {"error": {"code": "x", "message": "no"}}],
)
def test_what_is_no_answer_is_told_as_such(answer: dict[str, Any]) -> None:
    with pytest.raises(errors.BadAnswer, match="makes no sense"):
        errors.result(answer)


def test_a_result_is_returned() -> None:
    assert errors.result({"id": 1, "result": {}}) == {}
    assert errors.result({"id": 1, "result": None}) is None
