"""Lanes: order, batches, bounds, and that nobody waits for others' calls."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from connector.answers import Answer
from connector.lanes import Bounds, Lane, Lanes, Pending
from connector.routes import Route
from connector.session import Session
from tests.connector import outlets

BOUNDS = Bounds(
    batches=1,
    late_batches=4,
    patience=60.0,
    batch=50,
    batch_bytes=1000,
    share=50,
    waiting=800,
    waiting_bytes=80_000,
)


class Gate:
    """A function that answers its batches as they are let through."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self._arrived = asyncio.Semaphore(0)
        self._held: list[asyncio.Event] = []

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        let_go = asyncio.Event()
        self._held.append(let_go)
        self.batches.append([call.params["n"] for call in calls])
        self._arrived.release()
        await let_go.wait()
        return [orjson.dumps({"result": call.params["n"]}) for call in calls]

    async def arrived(self) -> None:
        """Returns when one more batch is there."""
        await self._arrived.acquire()

    def let_go(self, number: int) -> None:
        """Answers the batch that came as this one."""
        self._held[number].set()

    async def all_of(self, lane: Lane) -> None:
        """Lets everything through until the lane is idle."""
        while not lane.idle:
            for each in self._held:
                each.set()
            await asyncio.sleep(0)


class Desk:
    """A lane, and what its callers were answered."""

    def __init__(self, **bounds: Any) -> None:
        self.gate = Gate()
        self.answers: list[Any] = []
        self.lane = Lane("f", self.gate.forward, BOUNDS._replace(**bounds))

    def call(self, session: Session, number: Any, size: int = 1) -> Pending:
        def answer(found: Answer) -> None:
            answer = orjson.loads(found)
            self.answers.append(answer.get("result", answer.get("error", {}).get("data")))

        return Pending("m", {"n": number}, size, session, answer)

    def put(self, session: Session, number: Any, size: int = 1) -> bool:
        return self.lane.put(self.call(session, number, size))


def person(uid: str) -> Session:
    return outlets.session(uid)


async def test_what_arrives_meanwhile_becomes_the_next_batch() -> None:
    desk, one = Desk(), person("a")
    desk.put(one, 0)
    await desk.gate.arrived()
    for number in range(1, 6):
        desk.put(one, number)
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches == [[0], [1, 2, 3, 4, 5]]
    assert desk.answers == [0, 1, 2, 3, 4, 5]


async def test_a_batch_is_bounded_in_calls_and_in_bytes() -> None:
    desk, one, other = Desk(batch=3, batch_bytes=10), person("a"), person("b")
    desk.put(other, "first")
    await desk.gate.arrived()
    for number, size in enumerate([1, 1, 1, 1, 6, 3, 5, 20, 1]):
        desk.put(one, number, size)
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches == [["first"], [0, 1, 2], [3, 4, 5], [6], [7], [8]]
    assert desk.answers == ["first", *range(9)]


async def test_each_person_has_a_turn_before_anybody_has_another() -> None:
    desk = Desk(batch=5, share=3)
    desk.put(person("z"), "z")
    await desk.gate.arrived()
    loud = person("a")
    for number in range(9):
        desk.put(loud, f"a{number}")
    for uid in "bc":
        desk.put(person(uid), uid)
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches[1] == ["a0", "b", "c", "a1", "a2"]
    assert desk.gate.batches[2:] == [["a3", "a4", "a5"], ["a6", "a7", "a8"]]


async def test_those_who_did_not_fit_come_first_in_the_next_batch() -> None:
    desk = Desk(batch=2)
    desk.put(person("z"), "z")
    await desk.gate.arrived()
    for number in range(2):
        for uid in "abcd":
            desk.put(person(uid), f"{uid}{number}")
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches[1:] == [["a0", "b0"], ["c0", "d0"], ["a1", "b1"], ["c1", "d1"]]


async def test_a_persons_sessions_share_one_turn_and_one_order() -> None:
    desk, phone, laptop = Desk(share=2, batches=2), person("a"), person("a")
    for number in range(5):
        desk.put((phone, laptop)[number % 2], number)
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches == [[0], [1, 2], [3, 4]]
    assert desk.answers == [0, 1, 2, 3, 4]


async def test_strangers_do_not_wait_for_each_other() -> None:
    desk, one, two = Desk(batches=2), outlets.session(), outlets.session()
    desk.put(one, 1)
    await desk.gate.arrived()
    desk.put(two, 2)
    await desk.gate.arrived()
    assert desk.gate.batches == [[1], [2]]
    await desk.gate.all_of(desk.lane)


async def test_a_persons_next_call_waits_for_the_one_under_way() -> None:
    """Though another batch may start, which others use."""
    desk, one = Desk(batches=2), person("a")
    desk.put(one, 1)
    await desk.gate.arrived()
    desk.put(one, 2)
    desk.put(person("b"), 3)
    await desk.gate.arrived()
    assert desk.gate.batches == [[1], [3]]
    desk.gate.let_go(0)
    await desk.gate.arrived()
    assert desk.gate.batches == [[1], [3], [2]]
    await desk.gate.all_of(desk.lane)
    assert desk.answers[0] == 1
    assert sorted(desk.answers) == [1, 2, 3]


async def test_a_late_batch_holds_up_nobody_else() -> None:
    desk, slow = Desk(patience=0.01), person("a")
    desk.put(slow, "slow")
    await desk.gate.arrived()
    desk.put(slow, "behind it")
    desk.put(person("b"), "quick")
    await desk.gate.arrived()
    desk.gate.let_go(1)
    while "quick" not in desk.answers:
        await asyncio.sleep(0)
    assert desk.gate.batches == [["slow"], ["quick"]]
    assert desk.answers == ["quick"]
    await desk.gate.all_of(desk.lane)
    assert desk.answers == ["quick", "slow", "behind it"]


async def test_late_batches_are_bounded_and_free_their_place() -> None:
    desk = Desk(patience=0.01, late_batches=3)
    for number in range(3):
        desk.put(person(f"p{number}"), number)
        await desk.gate.arrived()
    desk.put(person("waits"), "waits")
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert desk.gate.batches == [[0], [1], [2]]
    desk.gate.let_go(1)
    await desk.gate.arrived()
    assert desk.gate.batches[3] == ["waits"]
    await desk.gate.all_of(desk.lane)
    # Nothing is late any more: one batch at a time again.
    desk.lane.bounds = desk.lane.bounds._replace(patience=60.0)
    desk.put(person("x"), "x")
    await desk.gate.arrived()
    desk.put(person("y"), "y")
    await asyncio.sleep(0.02)
    assert desk.gate.batches[4:] == [["x"]]
    await desk.gate.all_of(desk.lane)


async def test_what_waits_is_bounded_in_calls_at_its_edge() -> None:
    desk = Desk(waiting=16)
    desk.put(person("first"), 0)
    await desk.gate.arrived()
    one = person("a")
    assert [desk.put(one, number) for number in range(3)] == [True, True, False], "an eighth"
    others = [person(f"p{number}") for number in range(15)]
    assert [desk.put(each, 9) for each in others] == [True] * 14 + [False]
    await desk.gate.all_of(desk.lane)
    assert len(desk.answers) == 17
    assert desk.put(one, 1)
    await desk.gate.all_of(desk.lane)


async def test_what_waits_is_bounded_in_bytes_at_its_edge() -> None:
    desk = Desk(waiting_bytes=80)
    desk.put(person("first"), 0)
    await desk.gate.arrived()
    one = person("a")
    assert [desk.put(one, 0, size) for size in (4, 7, 6, 1)] == [True, False, True, False]
    others = [person(f"p{number}") for number in range(8)]
    assert [desk.put(each, 0, 10) for each in others] == [True] * 7 + [False]
    await desk.gate.all_of(desk.lane)
    assert desk.put(one, 0, 10)
    await desk.gate.all_of(desk.lane)


async def test_calls_of_who_does_not_read_wait_until_they_do() -> None:
    desk, phone, laptop = Desk(), person("a"), person("a")
    desk.put(person("first"), "first")
    await desk.gate.arrived()
    desk.put(phone, "phone")
    desk.put(laptop, "laptop")
    phone.clogged = True
    await desk.gate.all_of(desk.lane)
    assert desk.gate.batches == [["first"], ["laptop"]]
    desk.put(laptop, "laptop again")
    await desk.gate.all_of(desk.lane)
    assert desk.answers == ["first", "laptop", "laptop again"]
    phone.clogged = False
    desk.lane.resume("a")
    await desk.gate.all_of(desk.lane)
    assert desk.answers[-1] == "phone"


async def test_nothing_of_a_person_who_is_gone_stays_in_the_lane() -> None:
    desk, gone = Desk(waiting=16), person("a")
    desk.put(person("first"), 0)
    await desk.gate.arrived()
    desk.put(gone, 1)
    gone.clogged = True
    await desk.gate.all_of(desk.lane)
    gone.clogged, gone.closing = False, True
    desk.lane.resume("a")
    await desk.gate.all_of(desk.lane)
    assert not desk.lane._queues
    assert (desk.lane._waiting, desk.lane._waiting_bytes) == (0, 0)


async def test_resuming_who_waits_for_nothing_does_nothing() -> None:
    desk, one = Desk(), person("a")
    desk.lane.resume("a")
    assert desk.lane.idle
    desk.put(one, 1)
    await desk.gate.arrived()
    desk.put(one, 2)
    desk.lane.resume("a")
    await asyncio.sleep(0)
    assert desk.gate.batches == [[1]], "its first call is still under way"
    await desk.gate.all_of(desk.lane)
    assert desk.answers == [1, 2]


@pytest.mark.parametrize("answers", [0, 1, 3, None])
async def test_a_function_that_breaks_costs_its_batch_alone(answers: int | None) -> None:
    desk, go = Desk(), asyncio.Event()
    sizes: list[int] = []

    async def forward(function: str, calls: Sequence[Pending]) -> list[Answer]:
        sizes.append(len(calls))
        await go.wait()
        if len(sizes) != 2:
            return [b'{"result":"fine"}'] * len(calls)
        if answers is None:
            raise RuntimeError("broken")
        return [b"{}"] * answers

    lane = Lane("f", forward, BOUNDS)
    for uid in ("first", "a", "b"):
        lane.put(desk.call(person(uid), 1))
    await asyncio.sleep(0)
    go.set()
    while not lane.idle:
        await asyncio.sleep(0)
    assert sizes == [1, 2]
    lane.put(desk.call(person("a"), 2))
    while not lane.idle:
        await asyncio.sleep(0)
    assert desk.answers == ["fine", {"reason": "internal"}, {"reason": "internal"}, "fine"]


async def test_a_caller_that_cannot_be_answered_costs_nobody_else_an_answer() -> None:
    def broken(found: Answer) -> None:
        raise RuntimeError("no socket")

    desk = Desk()
    for number in range(4):
        call = desk.call(person(f"p{number}"), number)
        if number == 2:
            call.answer = broken
        desk.lane.put(call)
    await desk.gate.all_of(desk.lane)
    assert desk.answers == [0, 1, 3]


async def test_a_function_has_one_lane_whose_bounds_may_change() -> None:
    gate = Gate()
    lanes = Lanes(gate.forward)
    lane = lanes.of(Route("f", False), lambda route: BOUNDS)
    changed = Route("f", False, batch=1)
    assert lanes.of(changed, lambda route: BOUNDS._replace(batch=route.batch or 0)) is lane
    assert lane.bounds.batch == 1
    assert lanes.of(Route("g", False), lambda route: BOUNDS) is not lane
    assert lanes.idle
    lane.put(Pending("m", {"n": 1}, 1, person("a"), lambda found: None))
    assert not lanes.idle
    await gate.all_of(lane)
    assert lanes.idle
