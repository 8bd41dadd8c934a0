"""Every row of the protocol's error table has its class."""

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


@pytest.mark.parametrize("code", ROWS)
def test_a_code_is_raised_as_its_class(code: int) -> None:
    answer = {"error": {"code": code, "message": "no", "data": {"reason": "why", "more": 1}}}
    with pytest.raises(errors.StonechatError, match="why") as raised:
        errors.result(answer)
    assert type(raised.value) is ROWS[code]
    assert (raised.value.code, raised.value.reason) == (code, "why")
    assert raised.value.data["more"] == 1


def test_an_error_without_data_is_still_one() -> None:
    with pytest.raises(errors.NotFound) as raised:
        errors.result({"error": {"code": -32003, "message": "no"}})
    assert raised.value.reason == ""


def test_a_result_is_returned() -> None:
    assert errors.result({"id": 1, "result": {}}) == {}
