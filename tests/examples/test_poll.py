"""Polls, from outside."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from examples.poll.results import Created, OwnTally, Tallied
from examples.poll.votes import Tally, Votes
from local.stack import Stack
from shared.stores import database
from tests.wire import Refused, Wire, direct, learn

OPTIONS = ["red", "green", "blue"]


@pytest.fixture(autouse=True)
def published(layout: object) -> None:
    learn(
        {
            "poll.create": Created,
            "poll.vote": OwnTally,
            "poll.get": OwnTally,
            "poll.tally": Tallied,
        }
    )


async def people(house: Stack, name: str, count: int) -> list[Wire]:
    (url,) = house.layout.connector_urls
    return [await Wire.sign_in(url, f"{name}{number}") for number in range(count)]


async def ask(wire: Wire, conv: str, cid: str = "p", **other: Any) -> Any:
    params = {"question": "Which?", "options": OPTIONS} | other
    return await wire.call("poll.create", conv=conv, cid=cid, **params)


async def refusal(wire: Wire, method: str, **params: Any) -> str:
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    return refused.value.reason


async def test_a_poll_is_an_entry_that_both_have_in_their_lists(house: Stack, name: str) -> None:
    alice, bob = await people(house, name, 2)
    conv = direct(alice.uid, bob.uid)
    made = await ask(alice, conv, question="  Which? ")
    assert await ask(alice, conv) == made
    (entry,) = await bob.until("entry", 1)
    body = {"question": "Which?", "options": OPTIONS}
    assert (entry["type"], entry["seq"], entry["body"]) == ("poll", made["seq"], body)
    for wire in (alice, bob):
        (listed,) = (await wire.call("conversation.list"))["conversations"]
        assert (listed["conv"], listed["last_seq"]) == (conv, 1)


async def test_votes_are_counted_changed_and_told(house: Stack, name: str) -> None:
    alice, bob, carol = await people(house, name, 3)
    made = await alice.call("group.create", cid="g", name="g", members=[bob.uid, carol.uid])
    conv = made["conv"]
    poll = {"conv": conv, "seq": (await ask(alice, conv))["seq"]}
    assert await bob.call("poll.get", **poll) == poll | {"votes": [0, 0, 0], "rev": 0}
    await bob.call("poll.vote", **poll, option=1, cid="v1")
    await carol.call("poll.vote", **poll, option=1, cid="v1")
    changed = await bob.call("poll.vote", **poll, option=2, cid="v2")
    assert changed == poll | {"votes": [0, 1, 1], "rev": 3, "choice": 2}
    told = await alice.until("poll.tally", 3)
    assert [each["votes"] for each in told] == [[0, 1, 0], [0, 2, 0], [0, 1, 1]]
    assert [each["rev"] for each in told] == [1, 2, 3]
    # Who voted has the result, and of the others' votes the signals.
    assert [each["rev"] for each in await bob.until("poll.tally", 1)] == [2]
    assert await alice.call("poll.get", **poll) == poll | {"votes": [0, 1, 1], "rev": 3}
    assert (await carol.call("poll.get", **poll))["choice"] == 1


async def test_a_repeated_vote_is_one_vote(house: Stack, name: str) -> None:
    alice, bob = await people(house, name, 2)
    conv = direct(alice.uid, bob.uid)
    poll = {"conv": conv, "seq": (await ask(alice, conv))["seq"]}
    first = await alice.call("poll.vote", **poll, option=0, cid="v1")
    await alice.call("poll.vote", **poll, option=1, cid="v2")
    assert await alice.call("poll.vote", **poll, option=0, cid="v1") == first
    after = await alice.call("poll.get", **poll)
    assert (after["votes"], after["rev"], after["choice"]) == ([0, 1, 0], 2, 1)


async def test_many_vote_at_once(house: Stack, name: str) -> None:
    wires = await people(house, name, 6)
    uids = [wire.uid for wire in wires]
    made = await wires[0].call("group.create", cid="g", name="g", members=uids[1:])
    poll = {"conv": made["conv"], "seq": (await ask(wires[0], made["conv"]))["seq"]}
    answers = await asyncio.gather(
        *(
            wire.call("poll.vote", **poll, option=(number + turn) % 3, cid=f"v{turn}")
            for turn in range(4)
            for number, wire in enumerate(wires)
        )
    )
    last = max(answers, key=lambda each: int(each["rev"]))
    assert (last["votes"], last["rev"]) == ([2, 2, 2], 24)


async def test_who_may_not(house: Stack, name: str) -> None:
    alice, bob, carol = await people(house, name, 3)
    conv = direct(alice.uid, bob.uid)
    poll = {"conv": conv, "seq": (await ask(alice, conv))["seq"]}
    assert await refusal(carol, "poll.get", **poll) == "not_a_member"
    assert await refusal(carol, "poll.vote", **poll, option=0, cid="v") == "not_a_member"
    assert await refusal(carol, "poll.create", conv=conv, cid="p", **BODY) == "not_a_member"
    await alice.call("friend.block", uid=bob.uid, cid="b")
    assert await refusal(bob, "poll.vote", **poll, option=0, cid="v") == "blocked"
    assert await refusal(bob, "poll.create", conv=conv, cid="p", **BODY) == "blocked"
    assert (await bob.call("poll.get", **poll))["votes"] == [0, 0, 0]


async def test_what_is_no_poll_is_not_found(house: Stack, name: str) -> None:
    alice, bob = await people(house, name, 2)
    sent = await alice.send(bob.uid, "c", "no poll")
    for seq in (sent["seq"], 99):
        place = {"conv": sent["conv"], "seq": seq}
        assert await refusal(alice, "poll.get", **place) == "not_found"
        assert await refusal(alice, "poll.vote", **place, option=0, cid="v") == "not_found"


async def test_what_was_asked_before_one_joined_is_not_found(house: Stack, name: str) -> None:
    alice, bob = await people(house, name, 2)
    made = await alice.call("group.create", cid="g", name="g")
    poll = {"conv": made["conv"], "seq": (await ask(alice, made["conv"]))["seq"]}
    await alice.call("group.invite", gid=made["gid"], cid="i", uids=[bob.uid])
    assert await refusal(bob, "poll.get", **poll) == "not_found"
    assert await refusal(bob, "poll.vote", **poll, option=0, cid="v") == "not_found"


BODY = {"question": "Which?", "options": OPTIONS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": ""},
        {"question": "  "},
        {"question": "q" * 301},
        {"options": ["one"]},
        {"options": [str(number) for number in range(11)]},
        {"options": ["same", " same "]},
        {"options": ["", "x"]},
        {"options": ["o" * 101, "x"]},
    ],
    ids=str,
)
async def test_limits(house: Stack, name: str, wrong: dict[str, Any]) -> None:
    (alice,) = await people(house, name, 1)
    conv = direct(alice.uid, alice.uid)
    assert await refusal(alice, "poll.create", conv=conv, cid="p", **(BODY | wrong)) == (
        "invalid_params"
    )
    poll = {"conv": conv, "seq": (await ask(alice, conv))["seq"]}
    for option in (-1, 3):
        assert await refusal(alice, "poll.vote", **poll, option=option, cid="v") == "invalid_params"


def test_a_command_that_is_run_again_after_a_crash_changes_nothing(stores: Stack) -> None:
    votes = Votes(database()["poll_votes"])
    votes.cast("g:x 1", "alice", 0, "v1")
    votes.cast("g:x 1", "alice", 1, "v2")
    votes.cast("g:x 1", "alice", 0, "v1")
    tally = votes.tally("g:x 1", ["a", "b"])
    assert (tally.votes, tally.rev, votes.choice("g:x 1", "alice")) == ((0, 1), 2, 1)
    assert votes.choice("g:x 1", "bob") is None


def test_first_votes_of_one_person_at_once_all_count(stores: Stack) -> None:
    votes = Votes(database()["poll_votes"])
    start = Barrier(4)

    def cast(number: int) -> None:
        start.wait(10)
        votes.cast("g:x 2", f"person{number // 4}", 0, f"v{number % 4}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(cast, range(200)))
    assert votes.tally("g:x 2", ["a"]) == Tally((50,), 200)
