"""Events in a stream, and how a function gets them."""

from collections.abc import Sequence

import orjson
import pytest

from connector.subscriber import _envelope
from local.stack import Stack
from shared import events, keys
from shared.doors import BATCH
from shared.errors import CallError, Reason
from shared.events import Happened
from shared.function import Function
from shared.stores import redis_client
from tests.signed import Signed, handled, ours, refusal


def test_a_stream_entry_holds_a_batch_of_them() -> None:
    batch = [Happened("a.b", {"n": number}) for number in range(3)]
    assert events.parse(events.fields(batch)) == batch
    assert len({event.id for event in batch}) == 3


@pytest.mark.parametrize("entry", [{}, {b"events": b"[1]"}, {b"events": b"x"}])
def test_an_entry_of_something_else_is_refused(entry: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        events.parse(entry)


def test_one_call_is_one_entry(stores: Stack) -> None:
    batch = [Happened("a.b", {"n": number}) for number in range(3)]
    before = redis_client().xlen(keys.EVENTS)
    events.emit(batch)
    events.emit([])
    assert redis_client().xlen(keys.EVENTS) == before + 1
    [(_, fields)] = redis_client().xrevrange(keys.EVENTS, count=1)
    assert events.parse(fields) == batch


def test_a_handler_gets_all_its_events_and_says_what_became_of_each(stores: Stack) -> None:
    function, got = Function("listens"), []

    @function.event("a.one")
    @function.event("a.two")
    def listen(happened: Sequence[Happened]) -> list[CallError | None]:
        got.append(list(happened))
        return [CallError(Reason.UNAVAILABLE, retry_after=5), *[None] * (len(happened) - 1)]

    @function.event("b")
    def fail(happened: Sequence[Happened]) -> list[CallError | None]:
        raise CallError(Reason.CONFLICT)

    batch = [Happened(type_, {"n": 1}) for type_ in ("a.one", "b", "a.two", "unheard")]
    status, answers = handled(function, ours("listens", [_envelope(each) for each in batch]))
    assert status == 200
    assert got == [[batch[0], batch[2]]]
    assert answers[0]["error"]["data"] == {"reason": "unavailable", "retry_after": 5}
    assert answers[1]["error"]["data"]["reason"] == "conflict"
    assert answers[2] == {"result": None}
    assert answers[3]["error"]["data"]["reason"] == "unknown_method"


def test_nobody_else_reaches_a_handler(stores: Stack) -> None:
    function, got = Function("listens"), []

    @function.event("a.one")
    def listen(happened: Sequence[Happened]) -> list[CallError | None]:
        got.append(happened)
        return [None] * len(happened)

    fact = _envelope(Happened("a.one", {}))
    _, answers = handled(function, ours("listens", [fact | {"kind": None}]))
    assert refusal(answers[0]) == "unknown_method"
    unsigned = Signed({"Content-Type": BATCH}, orjson.dumps([fact]))
    single = Signed({}, orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "a.one"}))
    for refused in (unsigned, single, ours("another", [fact])):
        assert handled(function, refused)[0] == 401
    assert got == []
