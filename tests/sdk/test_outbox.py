"""What is asked leaves in order, comes back when it must, and is never forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stonechat.errors import OutboxFull
from stonechat.outbox import Command, Outbox
from stonechat.pace import Pace
from stonechat.patience import ANSWER, LONGEST_ANSWER

FAST = 1e9


def message(number: int, conv: str = "d:a:b") -> Command:
    return Command(number, "message.send", {"conv": conv, "cid": f"c{number}"})


def filled(count: int, *, window: int = 100) -> Outbox:
    outbox = Outbox(1000)
    for number in range(1, count + 1):
        outbox.put(message(number))
    outbox.connected(window, Pace(FAST, FAST, 0.0))
    return outbox


def ids(commands: list[Command]) -> list[int]:
    return [command.id for command in commands]


def test_nothing_leaves_without_a_connection_and_then_all_in_order() -> None:
    outbox = Outbox(10)
    for number in (1, 2, 3):
        outbox.put(message(number))
    assert outbox.take(0.0) == []
    outbox.connected(100, Pace(FAST, FAST, 0.0))
    assert ids(outbox.take(0.0)) == [1, 2, 3]
    assert outbox.take(0.0) == []


def test_a_window_bounds_what_flies() -> None:
    outbox = filled(5, window=2)
    first, second = outbox.take(0.0)
    assert outbox.take(0.0) == []
    outbox.remove(first)
    assert ids(outbox.take(0.0)) == [3]
    outbox.remove(second)
    assert ids(outbox.take(0.0)) == [4]


def test_it_is_bounded_but_for_what_an_earlier_process_left() -> None:
    outbox = Outbox(2)
    outbox.put(message(1))
    outbox.put(message(2))
    with pytest.raises(OutboxFull):
        outbox.put(message(3))
    outbox.put(message(4), bounded=False)
    outbox.connected(100, Pace(FAST, FAST, 0.0))
    assert ids(outbox.take(0.0)) == [1, 2, 4]


def test_a_lost_connection_brings_everything_back_in_its_place() -> None:
    outbox = filled(4, window=3)
    commands = outbox.take(0.0)
    outbox.remove(commands[1])
    outbox.disconnected()
    assert outbox.take(1.0) == []
    outbox.connected(100, Pace(FAST, FAST, 1.0))
    assert ids(outbox.take(1.0)) == [1, 3, 4]


def test_a_held_lane_waits_while_the_others_go_on() -> None:
    outbox = Outbox(10)
    outbox.connected(2, Pace(FAST, FAST, 0.0))
    for number, conv in enumerate(["d:a:b", "d:a:c", "d:a:b", "d:a:c"], 1):
        outbox.put(message(number, conv))
    first, second = outbox.take(0.0)
    outbox.hold(first, until=5.0)
    outbox.remove(second)
    assert ids(outbox.take(1.0)) == [4]
    assert outbox.wait(1.0) == 4.0
    outbox.remove(message(4, "d:a:c"))
    assert ids(outbox.take(5.0)) == [1, 3]


def test_a_conversation_is_one_lane_however_it_is_named() -> None:
    outbox = Outbox(10)
    outbox.connected(10, Pace(FAST, FAST, 0.0), "b")
    for number, place in enumerate([{"conv": "d:a:b"}, {"to": "a"}, {"to": "c"}], 1):
        outbox.put(Command(number, "message.send", place | {"cid": str(number)}))
    outbox.hold(outbox.take(0.0)[0], until=5.0)
    outbox.disconnected()
    outbox.connected(10, Pace(FAST, FAST, 1.0), "b")
    assert ids(outbox.take(1.0)) == [3]
    assert ids(outbox.take(5.0)) == [1, 2]


def test_what_is_not_wanted_any_more_does_not_leave() -> None:
    outbox = Outbox(10)
    kept, dropped = message(1), message(2)
    outbox.put(kept)
    outbox.put(dropped)
    outbox.remove(dropped)
    outbox.connected(10, Pace(FAST, FAST, 0.0))
    assert outbox.take(0.0) == [kept]
    assert len(outbox) == 1


def test_the_pace_says_when_to_ask_again() -> None:
    outbox = Outbox(100)
    outbox.connected(100, Pace(10, 32, 0.0))
    for number in range(40):
        outbox.put(message(number))
    sent = ids(outbox.take(0.0))
    wait = outbox.wait(0.0)
    assert wait is not None
    assert wait > 0
    sent += ids(outbox.take(wait + 1e-6))
    assert sent == list(range(len(sent)))
    assert 0 < len(sent) < 40


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["answer", "fail", "cut", "again"]), st.integers(0, 100)),
    max_size=60,
)


@given(st.lists(st.sampled_from("bcd"), min_size=1, max_size=40), STEPS, st.integers(1, 8))
def test_through_any_failures_each_is_answered_and_none_flies_twice(
    convs: list[str], steps: list[Step], window: int
) -> None:
    outbox, now = Outbox(100), 0.0
    for number, conv in enumerate(convs, 1):
        outbox.put(message(number, f"d:a:{conv}"))
    flying: dict[int, Command] = {}
    answered: list[int] = []
    outbox.connected(window, Pace(FAST, FAST, now))
    for kind, choice in [*steps, *[("answer", 0)] * 3 * len(convs)]:
        now += 1.0
        for command in outbox.take(now):
            assert command.id not in flying, "sent twice on one connection"
            assert command.id not in answered, "sent after its answer"
            flying[command.id] = command
        assert len(flying) <= window
        if kind == "cut":
            outbox.disconnected()
            outbox.connected(window, Pace(FAST, FAST, now))
            flying.clear()
        elif flying:
            command = flying.pop(sorted(flying)[choice % len(flying)])
            if kind == "answer":
                outbox.remove(command)
                answered.append(command.id)
            elif kind == "fail":
                outbox.hold(command, now + choice % 3)
            else:
                outbox.again(command)
    while outbox:
        now += 1.0
        for command in outbox.take(now):
            flying[command.id] = command
        for command in flying.values():
            outbox.remove(command)
            answered.append(command.id)
        flying.clear()
    assert sorted(answered) == list(range(1, len(convs) + 1))


@given(st.lists(st.sampled_from("bcd"), min_size=1, max_size=40), st.data(), st.integers(1, 8))
def test_without_refusals_cuts_do_not_change_the_order_in_a_lane(
    convs: list[str], data: st.DataObject, window: int
) -> None:
    outbox = Outbox(100)
    for number, conv in enumerate(convs, 1):
        outbox.put(message(number, f"d:a:{conv}"))
    reached: list[Command] = []  # what the server got, a repeated cid counted once
    while outbox:
        outbox.connected(window, Pace(FAST, FAST, 0.0))
        flying = outbox.take(0.0)
        arrived = data.draw(st.integers(0, len(flying)))
        told = data.draw(st.integers(0, arrived))
        reached += [command for command in flying[:arrived] if command not in reached]
        for command in flying[:told]:
            outbox.remove(command)
        if not told:
            outbox.remove(flying[0])
            reached += [flying[0]] if flying[0] not in reached else []
        outbox.disconnected()
    for lane in {command.lane("a") for command in reached}:
        order = [command.id for command in reached if command.lane("a") == lane]
        assert order == sorted(order)


def test_a_call_that_is_not_answered_is_noticed() -> None:
    outbox = filled(2, window=1)
    outbox.take(10.0)
    assert outbox.wait(10.0) == ANSWER
    assert not outbox.overdue(10.0 + ANSWER)
    assert outbox.overdue(10.1 + ANSWER)
    outbox.disconnected()
    assert not outbox.overdue(10.1 + ANSWER)


def test_while_answers_come_a_slow_line_has_more_time_and_not_for_ever() -> None:
    outbox = filled(3)
    outbox.take(0.0)
    now = 0.0
    while now < LONGEST_ANSWER:
        outbox.heard(now)
        now += ANSWER
        assert not outbox.overdue(now)
        assert outbox.wait(now) == 0.0
    assert outbox.overdue(LONGEST_ANSWER + 0.1)
