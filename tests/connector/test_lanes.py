"""Lanes: order, batches, bounds."""

import asyncio
from collections.abc import Sequence
from typing import Any

from connector.answers import Answer
from connector.lanes import Lane, Lanes, Pending
from connector.session import Limits, Session
from tests.connector.outlets import Recorder

LIMITS = Limits(rate=1e9, burst=10**9, in_flight=10**9, invalid_in_a_row=10)


class Gate:
    """A function that answers a batch when it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.arrived = asyncio.Semaphore(0)
        self.go = asyncio.Semaphore(0)

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        self.batches.append([call.params["n"] for call in calls])
        self.arrived.release()
        await self.go.acquire()
        return [b"%d" % call.params["n"] for call in calls]


def pending(number: int, answers: list[Any], size: int = 1, session: int = 1) -> Pending:
    owner = Session(session, "sid00000", LIMITS, Recorder(), 0.0)
    return Pending("m", {"n": number}, size, owner, lambda found: answers.append(int(found)))


async def until_idle(lane: Lane, gate: Gate) -> None:
    while not lane.idle:
        gate.go.release()
        await asyncio.sleep(0)


async def test_what_arrives_meanwhile_becomes_the_next_batch() -> None:
    gate, answers = Gate(), list[Any]()
    lane = Lane("f", gate.forward, limit=100, batch_calls=50, batch_bytes=1000)
    lane.put(pending(0, answers))
    await gate.arrived.acquire()
    for number in range(1, 6):
        lane.put(pending(number, answers))
    await until_idle(lane, gate)
    assert gate.batches == [[0], [1, 2, 3, 4, 5]]
    assert answers == [0, 1, 2, 3, 4, 5]


async def test_a_batch_is_bounded_in_calls_and_in_bytes() -> None:
    gate, answers = Gate(), list[Any]()
    lane = Lane("f", gate.forward, limit=100, batch_calls=3, batch_bytes=10)
    for number, size in enumerate([1, 1, 1, 1, 6, 5, 20, 1]):
        lane.put(pending(number, answers, size))
    await until_idle(lane, gate)
    assert gate.batches == [[0, 1, 2], [3, 4], [5], [6], [7]]
    assert answers == list(range(8))


async def test_a_full_lane_takes_no_more() -> None:
    gate, answers = Gate(), list[Any]()
    lane = Lane("f", gate.forward, limit=2, batch_calls=1, batch_bytes=10)
    lane.put(pending(0, answers))
    await gate.arrived.acquire()
    taken = [lane.put(pending(number, answers)) for number in range(1, 5)]
    assert taken == [True, True, False, False]
    await until_idle(lane, gate)
    assert answers == [0, 1, 2]


async def test_a_session_keeps_its_lane() -> None:
    gate = Gate()
    lanes = Lanes(lambda function: Lane(function, gate.forward, 10, 10, 10))
    sessions = [Session(number, "s", LIMITS, Recorder(), 0.0) for number in range(8)]
    first = [lanes.of("f", session, 4) for session in sessions]
    assert first == [lanes.of("f", session, 4) for session in sessions]
    assert len(set(first)) == 4
    assert not set(first) & {lanes.of("g", session, 4) for session in sessions}


async def test_a_caller_that_cannot_be_answered_costs_nobody_else_an_answer() -> None:
    def broken(found: Answer) -> None:
        raise RuntimeError("no socket")

    gate, answers = Gate(), list[Any]()
    lane = Lane("f", gate.forward, limit=100, batch_calls=50, batch_bytes=1000)
    for number in range(4):
        call = pending(number, answers)
        if number == 2:
            call.answer = broken
        lane.put(call)
    await until_idle(lane, gate)
    assert answers == [0, 1, 3]
