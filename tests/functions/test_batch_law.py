"""The answers to a batch are the answers to its calls one by one, whatever else is in the batch.

Held for every method of every function, by the params that its model takes: a new method is tested
with no change here.
"""

import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from local.stack import Stack
from shared.call import Call
from shared.errors import CallError, Code, Reason
from shared.function import Function, Method
from shared.params import NoParams, Params
from shared.stores import redis_client
from tests.functions import params
from tests.functions.calls import Asked, Outcome, ask, outcome, post
from tests.functions.worlds import There, function, methods, world


def calls_of(method: Method, people: Sequence[There], chance: random.Random) -> list[Asked]:
    """Each person's calls in an order of their own: bad ones, of every sort in all, and among them
    good ones, some twice."""
    queues: list[list[Asked]] = []
    sorts = list(params.bad(method, people[0]))
    deal = [chance.randrange(len(people)) for _ in sorts]
    for number, here in enumerate(people):
        mine = params.bad(method, here)
        asked = [each for each, whose in zip(mine, deal, strict=True) if whose == number]
        chance.shuffle(asked)
        for each in params.good(method, here):
            for repeated in range(2):
                asked.insert(len(asked) - chance.randrange(1, 20) * (1 - repeated), each)
        queues.append([Asked(method.name, each, here["me"], here["session"]) for each in asked])
    calls = []
    while any(queues):
        calls.append(chance.choice([queue for queue in queues if queue]).pop(0))
    return calls


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_a_batch_is_its_calls_one_by_one(stores: Stack, name: str, method: str) -> None:
    asked = function(name)
    one, other = world(), world()
    first = calls_of(asked.methods[method], one, random.Random(method))
    second = calls_of(asked.methods[method], other, random.Random(method))
    before = set(redis_client().scan_iter(count=10_000))
    together = list(map(outcome, ask(asked, first)))
    # What was typed, such as a name to sign in with, is the same in both worlds.
    if made := set(redis_client().scan_iter(count=10_000)) - before:
        redis_client().delete(*made)
    alone = [outcome(ask(asked, [call])[0]) for call in second]
    differing = [
        (str(call.params)[:200], *outcomes)
        for call, *outcomes in zip(first, together, alone, strict=True)
        if outcomes[0] != outcomes[1]
    ]
    assert differing == []
    assert Code.INTERNAL not in {each.code for each in together}


def test_what_is_no_call_fails_alone(stores: Stack) -> None:
    here = world()[0]
    good = Asked("conversation.list", {}, here["me"], here["session"]).event()
    odd: list[Any] = [None, 5, "text", [], {}, [good], good | {"type": None}, good | {"type": 5}]
    odd += [good | {"type": ["conversation.list"]}, good | {"data": [1]}, good | {"data": "text"}]
    odd += [good | {name: value} for name in ("uid", "sid", "did") for value in (5, True)]
    odd += [good | {"roles": value} for value in (5, ["member"], {"a": 1})]
    odd += [good | {"kind": "event", "time": value} for value in (None, 5, "now", "9" * 400, "")]
    odd += [good | {"kind": "event", "time": "2026-01-01T00:00:00Z", "data": None}]
    odd += [good | {"kind": "before", "data": 5}, good | {"type": "conversation.nothing"}]
    odd += [{name: good[name] for name in good if name != left} for left in ("id", "type", "uid")]
    odd += [good | {"data": orjson.Fragment(b"[" * 900 + b"]" * 900)}]
    batch = [each for one in odd for each in (one, good)]
    random.Random(1).shuffle(batch)
    asked = function("sync")
    together = list(map(outcome, post(asked, batch)))
    assert together == [outcome(post(asked, [each])[0]) for each in batch]
    assert [found for each, found in zip(batch, together, strict=True) if each is good] == [
        Outcome()
    ] * len(odd)
    assert {each.reason for each in together} == {
        "ok",
        Reason.INVALID_REQUEST,
        Reason.UNKNOWN_METHOD,
        Reason.UNAUTHENTICATED,
    }


class Odd(Params):
    which: int


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ROUND: list[Any] = []
ROUND.append(ROUND)
ODD_RESULTS: list[Any] = [
    {"of": {1, 2}},
    nested(300),
    ROUND,
    {"text": "\ud83d"},
    {5: "key"},
    {"n": 2**70},
    object(),
    CallError(Reason.CONFLICT, "with more", more={1, 2}),
]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("with_cid", [False, True])
def test_a_result_that_is_no_json_fails_alone(
    stores: Stack, *, batched: bool, with_cid: bool
) -> None:
    toy = Function("toy")

    if batched:

        @toy.batch("toy.odd")
        def several(calls: Sequence[Call[Odd]]) -> list[Any]:
            return [ODD_RESULTS[c.params.which] if c.params.which >= 0 else {} for c in calls]

    else:

        @toy.method("toy.odd")
        def single(call: Call[Odd]) -> Any:
            return ODD_RESULTS[call.params.which] if call.params.which >= 0 else {}

    here = world()[0]
    numbers = [number for odd in range(len(ODD_RESULTS)) for number in (odd, -1)]

    def calls() -> list[Asked]:
        asked = [{"which": n} | ({"cid": f"c{n}{i}"} if with_cid else {}) for i, n in numbered]
        return [Asked("toy.odd", each, here["me"], here["session"]) for each in asked]

    numbered = list(enumerate(numbers))
    together = list(map(outcome, ask(toy, calls())))
    assert together[1::2] == [Outcome()] * len(ODD_RESULTS)
    assert Outcome() not in together[::2]
    assert together == [outcome(ask(toy, [call])[0]) for call in calls()]


@pytest.mark.parametrize("good", [1, 5])
def test_a_batch_method_that_breaks_breaks_for_who_breaks_it(stores: Stack, good: int) -> None:
    """The net below: it fails for all at once, or forgets an answer, for the sake of one."""
    toy = Function("toy")

    @toy.batch("toy.break")
    def breaks(calls: Sequence[Call[Odd]]) -> list[Any]:
        return [{"n": 100 // each.params.which} for each in calls if each.params.which != 7]

    @toy.batch("toy.fine")
    def fine(calls: Sequence[Call[NoParams]]) -> list[Any]:
        return [{} for _ in calls]

    here = world()[0]
    which = [*range(1, good + 1), 0, 3, 7, 0, 2]
    calls = [Asked("toy.break", {"which": each}, here["me"]) for each in which]
    found = list(map(outcome, ask(toy, [*calls, Asked("toy.fine", {}, here["me"])])))
    expected = [Outcome() if n not in (0, 7) else Outcome(-32603, "internal") for n in which]
    assert found == [*expected, Outcome()]
