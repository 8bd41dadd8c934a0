"""What a frame means, without a socket."""

import orjson
import pytest

from connector import limits
from connector.limits import Rate
from connector.session import ABUSE, Refused, Session
from shared.rpc import Request
from shared.settings import Settings
from tests.connector import outlets

BURST = 5
LIMITS = outlets.limits(
    calls=Rate(10.0, BURST),
    in_flight=4,
    in_flight_bytes=100,
    invalid_in_a_row=3,
)


@pytest.fixture
def session() -> Session:
    return outlets.session(limits=LIMITS)


def request(**changes: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "a.b", "params": {}} | changes)


def refusal(found: Request | Refused) -> tuple[object, int, str]:
    assert isinstance(found, Refused)
    answer = orjson.loads(found.frame)
    return answer["id"], answer["error"]["code"], answer["error"]["data"]["reason"]


def test_a_request_is_passed_on(session: Session) -> None:
    found = session.receive(request(params={"x": 1}), 0.0)
    assert isinstance(found, Request)
    assert found[:3] == (1, "a.b", {"x": 1})


def test_params_may_be_left_out(session: Session) -> None:
    text = b'{"jsonrpc":"2.0","id":"x","method":"a.b"}'
    found = session.receive(text, 0.0)
    assert isinstance(found, Request)
    assert found[:3] == ("x", "a.b", {})


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
    burst = [session.receive(request(), 0.0) for _ in range(BURST)]
    assert all(isinstance(found, Request) for found in burst)
    found = session.receive(request(id=9), 0.0)
    assert refusal(found) == (9, -32005, "rate_limited")
    assert isinstance(found, Refused)
    wait = orjson.loads(found.frame)["error"]["data"]["retry_after"]
    assert isinstance(session.receive(request(), wait), Request)
    assert isinstance(session.receive(request(), wait), Refused)


def test_bytes_are_limited_at_their_edge() -> None:
    text = request()
    # Each counts as one call, and as one more for its bytes.
    made = outlets.session(limits=outlets.limits(calls=Rate(2, 4), call_bytes=len(text)))
    found = [made.receive(text, 0.0) for _ in range(3)]
    assert [isinstance(each, Request) for each in found] == [True, True, False]
    assert refusal(found[2]) == (1, -32005, "rate_limited")
    assert isinstance(made.receive(text, 0.99), Refused)
    assert isinstance(made.receive(text, 1.01), Request)


def test_what_is_refused_for_its_rate_takes_no_bytes() -> None:
    """And waits no longer for having asked."""
    made = outlets.session(limits=outlets.limits(calls=Rate(1.0, 1)))
    assert isinstance(made.receive(request(), 0.0), Request)
    for clock in (0.1, 0.5, 0.9):
        assert isinstance(made.receive(request(), clock), Refused)
    assert isinstance(made.receive(request(), 1.01), Request)


def test_who_has_not_signed_in_sends_small_calls_only() -> None:
    config = Settings(public_frame_limit=200, frame_limit=400)
    made = outlets.session(limits=limits.anonymous(config))
    sizes = (200, 201, 400, 401)
    texts = [request().ljust(size) for size in sizes]

    def reasons() -> list[str | None]:
        found = [made.receive(text, 0.0) for text in texts]
        return [None if isinstance(each, Request) else refusal(each)[2] for each in found]

    assert reasons() == [None, "too_large", "too_large", "too_large"]
    made.limit(limits.signed_in(config), 0.0)
    assert reasons() == [None, None, None, "too_large"]


def test_a_client_is_told_the_limits_that_hold_for_it() -> None:
    config = Settings(frame_limit=1000, rate_per_second=7.5, rate_burst=30, in_flight_limit=9)
    assert limits.signed_in(config).as_result() == {
        "frame_bytes": 1000,
        "calls_per_second": 7.5,
        "burst": 30,
        "in_flight": 9,
    }


def test_too_much_noise_is_abuse_at_its_edge() -> None:
    made = outlets.session(limits=outlets.limits(noise=Rate(1.0, 3)))
    assert [made.noise(0.0) for _ in range(4)] == [True, True, True, False]
    assert not made.noise(0.9)
    assert made.noise(1.1)


def test_a_flood_of_refused_frames_ends_the_session_though_good_ones_come_between() -> None:
    made = outlets.session(limits=outlets.limits(noise=Rate(0.001, 3), invalid_in_a_row=3))
    closes = []
    for text in [b"{", request()] * 4:
        found = made.receive(text, 0.0)
        closes.append(found.close if isinstance(found, Refused) else None)
    assert closes == [None] * 6 + [ABUSE, None]


def test_asking_on_while_refused_for_the_rate_is_noise() -> None:
    made = outlets.session(limits=outlets.limits(calls=Rate(0.001, 1), noise=Rate(0.001, 2)))
    found = [made.receive(request(), 0.0) for _ in range(4)]
    assert [each.close for each in found[1:] if isinstance(each, Refused)] == [None, None, ABUSE]


def test_parts_of_a_message_count_as_calls_and_empty_ones_as_noise() -> None:
    made = outlets.session(limits=outlets.limits(calls=Rate(0.001, 2), noise=Rate(0.001, 1)))
    assert [made.fragment(10, 0.0) for _ in range(3)] == [True, True, False]
    assert [made.fragment(0, 0.0) for _ in range(2)] == [True, False]


def test_a_persons_sessions_are_one_person_and_strangers_are_not() -> None:
    one, two = outlets.session("a"), outlets.session("a")
    assert one.person == two.person
    assert outlets.session().person != outlets.session().person


def test_reading_pauses_at_the_limit_and_goes_on_at_half(session: Session) -> None:
    states = []
    for session.in_flight in (3, 4, 3, 2):
        states.append((session.full, session.slack))
    assert states == [(False, False), (True, False), (False, False), (False, True)]


def test_reading_pauses_for_bytes_as_well(session: Session) -> None:
    states = []
    for session.in_flight_bytes in (99, 100, 51, 50):
        states.append((session.full, session.slack))
    assert states == [(False, False), (True, False), (False, False), (False, True)]


def test_frames_that_are_too_large_are_a_flood_by_their_bytes() -> None:
    noise = Rate(1.0, 8)
    made = outlets.session(limits=outlets.limits(noise=noise, frame=100, call_bytes=100))
    text = request(params={"x": "x" * 300})
    assert len(text) // 100 == 3
    found = [made.receive(text, 0.0) for _ in range(3)]
    assert [isinstance(each, Refused) and each.close for each in found] == [None, None, ABUSE]
