"""What a frame means, without a socket."""

import orjson
import pytest

from connector.session import ABUSE, Limits, Refused, Session
from shared.rpc import Request
from tests.connector.outlets import Recorder

LIMITS = Limits(rate=10.0, burst=5, in_flight=4, invalid_in_a_row=3)


@pytest.fixture
def session() -> Session:
    return Session(1, "sid00000", LIMITS, Recorder(), now=0.0)


def request(**changes: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "a.b", "params": {}} | changes)


def refusal(found: Request | Refused) -> tuple[object, int, str]:
    assert isinstance(found, Refused)
    answer = orjson.loads(found.frame)
    return answer["id"], answer["error"]["code"], answer["error"]["data"]["reason"]


def test_a_request_is_passed_on(session: Session) -> None:
    found = session.receive(request(params={"x": 1}), 0.0)
    assert found == Request(1, "a.b", {"x": 1})


def test_params_may_be_left_out(session: Session) -> None:
    text = b'{"jsonrpc":"2.0","id":"x","method":"a.b"}'
    assert session.receive(text, 0.0) == Request("x", "a.b", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", (None, -32700, "parse_error")),
        (b"\xff\xfe", (None, -32700, "parse_error")),
        (b"[]", (None, -32600, "invalid_request")),
        (b"[" + request() + b"]", (None, -32600, "invalid_request")),
        (b"7", (None, -32600, "invalid_request")),
        (request(jsonrpc="1.0"), (1, -32600, "invalid_request")),
        (request(method=7), (1, -32600, "invalid_request")),
        (request(id=None), (None, -32600, "invalid_request")),
        (request(id=True), (None, -32600, "invalid_request")),
        (request(params=7), (1, -32600, "invalid_request")),
        (request(params=[1]), (1, -32602, "invalid_params")),
    ],
)
def test_what_is_no_request_is_refused(
    session: Session, text: bytes, expected: tuple[object, int, str]
) -> None:
    assert refusal(session.receive(text, 0.0)) == expected


def test_invalid_frames_in_a_row_end_the_session(session: Session) -> None:
    closes = []
    for text in (b"{", b"{", request(), b"{", b"{", b"{"):
        found = session.receive(text, 0.0)
        closes.append(found.close if isinstance(found, Refused) else None)
    assert closes == [None, None, None, None, None, ABUSE]


def test_the_rate_is_limited_at_its_edge(session: Session) -> None:
    burst = [session.receive(request(), 0.0) for _ in range(LIMITS.burst)]
    assert all(isinstance(found, Request) for found in burst)
    found = session.receive(request(id=9), 0.0)
    assert refusal(found) == (9, -32005, "rate_limited")
    assert isinstance(found, Refused)
    wait = orjson.loads(found.frame)["error"]["data"]["retry_after"]
    assert isinstance(session.receive(request(), wait), Request)
    assert isinstance(session.receive(request(), wait), Refused)


def test_reading_pauses_at_the_limit_and_goes_on_at_half(session: Session) -> None:
    states = []
    for session.in_flight in (3, 4, 3, 2):
        states.append((session.full, session.slack))
    assert states == [(False, False), (True, False), (False, False), (False, True)]
