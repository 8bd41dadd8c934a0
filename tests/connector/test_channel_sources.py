"""The channels of sessions, from functions that answer, fail, hang and go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest

from connector import channel_sources
from connector.answers import Answer, refused
from connector.backoff import Backoff
from connector.channel_sources import RESYNC, ChannelSources
from connector.lanes import Pending
from connector.registry import Registry
from connector.routes import ChannelSource, Routes, build
from connector.session import Session
from connector.subscriptions import Subscriptions
from shared.errors import CallError, Reason
from tests.connector import outlets
from tests.connector.outlets import Recorder

Function = Callable[[Session], Awaitable[Answer]]


def names(*channels: str) -> Answer:
    return orjson.dumps({"result": {"channels": channels}})


class Told(Registry):
    """A Redis that knows everything at once."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    async def flush(self) -> None:
        self._subscriptions.dirty.clear()


class Desk:
    """Functions by name, each asked for one session after another."""

    def __init__(self, *sources: ChannelSource, **functions: Function) -> None:
        self.functions = functions
        self.routes = Routes(channel_sources=sources)
        self.asked: list[tuple[str, list[str | None]]] = []
        self.subscriptions = Subscriptions()
        self.sources = ChannelSources(
            self._forward, self.subscriptions, Told(self.subscriptions), lambda: self.routes
        )

    async def _forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        self.asked.append((function, [call.session.uid for call in calls]))
        return [await self.functions[function](call.session) for call in calls]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in trouble is asked again in a moment."""
    monkeypatch.setattr(channel_sources, "Backoff", lambda base, cap: Backoff(0.01, 0.02))


def refuse(function: str) -> ChannelSource:
    return ChannelSource(function, refuses=True, budget=1.0)


def passes(function: str, budget: float = 0.05) -> ChannelSource:
    return ChannelSource(function, refuses=False, budget=budget)


def frames(session: Session) -> list[bytes]:
    assert isinstance(session.outlet, Recorder)
    return session.outlet.frames


async def group(session: Session) -> Answer:
    return names(f"group:{session.uid}", "group:all")


async def friends(session: Session) -> Answer:
    return names("friends:x")


async def hang(session: Session) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(session: Session) -> Answer:
    raise RuntimeError("broken")


async def test_all_functions_give_their_channels() -> None:
    desk = Desk(refuse("group"), passes("friend"), group=group, friend=friends)
    one, two = outlets.session("a"), outlets.session("b")
    assert await desk.sources.give([one, two]) == set()
    assert one.channels == {"group:a", "group:all", "friends:x"}
    assert two.channels == {"group:b", "group:all", "friends:x"}
    assert sorted(desk.asked) == [("friend", ["a", "b"]), ("group", ["a", "b"])]
    assert (one.asked, one.left) == (0, None)


async def test_without_functions_there_is_nothing_to_wait_for() -> None:
    assert await Desk().sources.give([outlets.session("a")]) == set()


NONSENSE: list[Any] = [
    None,
    7,
    [],
    {},
    {"channels": None},
    {"channels": "group:1"},
    {"channels": {"group:1": 1}},
    {"channels": [1]},
    {"channels": [None]},
    {"channels": ["group:1", ["group:2"]]},
    {"channels": [""]},
    {"channels": ["x" * 201]},
    {"channels": [f"c{number}" for number in range(10_001)]},
]


@pytest.mark.parametrize("result", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_refuses_its_own_session_alone(result: Any) -> None:
    async def function(session: Session) -> Answer:
        return orjson.dumps({"result": result}) if session.uid == "a" else names("x")

    desk = Desk(refuse("f"), f=function)
    one, two = outlets.session("a"), outlets.session("b")
    assert await desk.sources.give([one, two]) == {one}
    assert (one.channels, two.channels) == (set(), {"x"})


async def test_the_most_and_the_longest_names_are_taken() -> None:
    channels = [str(number).ljust(200, "x") for number in range(10_000)]

    async def function(session: Session) -> Answer:
        return names(*channels)

    desk, one = Desk(refuse("f"), f=function), outlets.session("a")
    assert await desk.sources.give([one]) == set()
    assert one.channels == set(channels)


@pytest.mark.parametrize("reason", list(Reason))
async def test_an_error_refuses_where_that_is_the_policy(reason: Reason) -> None:
    async def function(session: Session) -> Answer:
        return refused(CallError(reason))

    desk, one = Desk(refuse("f"), f=function), outlets.session("a")
    assert await desk.sources.give([one]) == {one}


async def test_a_function_that_breaks_refuses_all_it_was_asked_for() -> None:
    desk = Desk(refuse("f"), refuse("group"), f=fail, group=group)
    sessions = {outlets.session("a"), outlets.session("b")}
    assert await desk.sources.give(list(sessions)) == sessions
    assert all(each.left is None for each in sessions)


@pytest.mark.parametrize("function", [hang, fail], ids=["hangs", "breaks"])
async def test_who_passes_is_not_waited_for_but_asked_again(function: Function) -> None:
    desk = Desk(refuse("group"), passes("f"), group=group, f=function)
    one = outlets.session("a")
    assert await desk.sources.give([one]) == set()
    assert one.channels == {"group:a", "group:all"}
    one.opened = True
    desk.functions["f"] = friends
    await desk.until(lambda: bool(frames(one)))
    assert frames(one) == [RESYNC]
    assert "friends:x" in one.channels
    await desk.until(lambda: not desk.sources._tasks)
    asked = len(desk.asked)
    two = outlets.session("b")
    await desk.sources.give([two])
    assert "friends:x" in two.channels, "it is asked at once again"
    assert desk.asked[asked:] == [("group", ["b"]), ("f", ["b"])]
    assert frames(two) == []


async def test_nobody_waits_for_a_function_that_does_not_answer() -> None:
    desk = Desk(passes("f", budget=0.05), f=hang)
    first, second = outlets.session("a"), outlets.session("b")
    await desk.sources.give([first])
    before = len(desk.asked)
    giving = asyncio.ensure_future(desk.sources.give([second]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(desk.asked) == before
    await giving
    first.opened = second.opened = True
    desk.functions["f"] = friends
    await desk.until(lambda: bool(frames(first) and frames(second)))
    assert frames(first) == frames(second) == [RESYNC]


async def test_one_session_that_makes_no_sense_delays_nobody_else() -> None:
    async def function(session: Session) -> Answer:
        return names("x") if session.uid != "odd" else b'{"result":"nonsense"}'

    desk, odd = Desk(passes("f"), f=function), outlets.session("odd")
    await desk.sources.give([odd])
    await desk.until(lambda: len(desk.asked) > 2)
    other = outlets.session("a")
    await desk.sources.give([other])
    assert other.channels == {"x"}
    desk.sources.forget(odd)
    await desk.until(lambda: not desk.sources._tasks)
    assert not desk.sources._missing


async def test_many_that_make_no_sense_do_not_keep_the_others_from_being_asked() -> None:
    broken = True

    async def function(session: Session) -> Answer:
        if broken or session.uid == "odd":
            return b'{"result":null}'
        return names("x")

    desk = Desk(passes("f"), f=function)
    odd = [outlets.session("odd") for _ in range(300)]
    fine = outlets.session("a", opened=True)
    await desk.sources.give([*odd, fine])
    broken = False
    await desk.until(lambda: bool(frames(fine)))
    assert fine.channels == {"x"}
    desk.routes = Routes()
    await desk.until(lambda: not desk.sources._tasks)


async def test_a_function_that_is_no_source_any_more_is_let_be() -> None:
    desk, one = Desk(passes("f"), f=fail), outlets.session("a", opened=True)
    await desk.sources.give([one])
    desk.routes = Routes()
    await desk.until(lambda: not desk.sources._tasks)
    assert not desk.sources._missing
    assert frames(one) == []


async def test_sources_are_those_that_routes_name_now() -> None:
    def announced(policy: str) -> Routes:
        annotations = {
            "topic": "stonechat",
            "stonechat.methods": "session.channels",
            "stonechat.channels.policy": policy,
            "stonechat.channels.budget": "50",
        }
        return build({"f": annotations}, Routes())

    desk, one = Desk(f=fail), outlets.session("a")
    desk.routes = announced("refuse")
    assert await desk.sources.give([one]) == {one}
    desk.routes = announced("pass")
    assert await desk.sources.give([one]) == set()
    desk.routes = Routes()
    assert await desk.sources.give([one]) == set()
    await desk.until(lambda: not desk.sources._tasks)


async def test_a_channel_that_is_left_while_it_is_asked_for_is_not_joined() -> None:
    async def function(session: Session) -> Answer:
        assert session.left is not None
        session.left.add("group:2")
        return names("group:1", "group:2")

    desk, one = Desk(refuse("f"), f=function), outlets.session("a")
    await desk.sources.give([one])
    assert one.channels == {"group:1"}
    assert one.left is None


async def test_what_is_left_counts_until_the_last_function_has_answered() -> None:
    slow = asyncio.Event()

    async def waits(session: Session) -> Answer:
        await slow.wait()
        return names("group:1", "group:2")

    desk, one = Desk(refuse("quick"), refuse("slow"), quick=group, slow=waits), outlets.session("a")
    giving = asyncio.ensure_future(desk.sources.give([one]))
    await desk.until(lambda: "group:a" in one.channels)
    assert one.asked == 1
    assert one.left is not None
    one.left.add("group:1")
    slow.set()
    await giving
    assert one.channels == {"group:a", "group:all", "group:2"}
    assert one.asked == 0


async def test_who_closes_meanwhile_joins_nothing() -> None:
    async def function(session: Session) -> Answer:
        session.closing = True
        return names("x")

    desk, one = Desk(refuse("f"), f=function), outlets.session("a")
    await desk.sources.give([one])
    assert one.channels == set()
    assert await desk.sources.give([one]) == set()
    assert len(desk.asked) == 1, "nor is anybody asked for who is gone"


async def test_who_is_gone_is_not_asked_for_again() -> None:
    desk, one = Desk(passes("f"), f=fail), outlets.session("a")
    await desk.sources.give([one])
    one.closing = True
    desk.sources.forget(one)
    await desk.until(lambda: not desk.sources._tasks)
    assert not desk.sources._missing


async def test_who_is_not_open_yet_is_told_nothing() -> None:
    """Its client reads everything when it is."""
    desk, one = Desk(passes("f"), f=fail), outlets.session("a")
    await desk.sources.give([one])
    desk.functions["f"] = friends
    await desk.until(lambda: not desk.sources._tasks)
    assert one.channels == {"friends:x"}
    assert frames(one) == []


async def test_an_opening_that_is_given_up_leaves_nothing_counted() -> None:
    desk, one = Desk(refuse("f"), f=hang), outlets.session("a")
    giving = asyncio.ensure_future(desk.sources.give([one]))
    await desk.until(lambda: bool(desk.asked))
    giving.cancel()
    await asyncio.gather(giving, return_exceptions=True)
    assert (one.asked, one.left) == (0, None)
