"""Read marks and states on real stores: what moved is decided once, and Redis may lose it all."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.stack import Stack
from shared import conversation, keys
from shared.conversation import parse
from shared.generations import generations
from shared.ids import new_id
from shared.states import Mark, State, states
from shared.stores import redis_client
from tests.soft import soft


@pytest.fixture
def pair(stores: Stack) -> tuple[str, str, str]:
    """Two people, and their conversation, which is listed."""
    alice, bob = new_id(), new_id()
    conv = conversation.direct(alice, bob)
    place = parse(conv)
    assert place is not None
    states().register([(conv, place)])
    return alice, bob, conv


def read(*marks: Mark) -> list[bool]:
    with redis_client().pipeline(transaction=False) as pipe:
        states().enqueue(generations().present(), pipe, [(mark.uid, mark.conv) for mark in marks])
        return states().read(marks, pipe.execute())


def state(uid: str, conv: str) -> State:
    return states().of([uid])[1][uid][conv]


def forget(*uids: str) -> None:
    redis_client().delete(*(soft(keys.states(uid)) for uid in uids))


def test_a_mark_moves_forward_and_once(pair: tuple[str, str, str]) -> None:
    alice, bob, conv = pair
    seqs = [4, 1, 4, 0, 7, 4, 7]
    assert [read(Mark(alice, conv, seq, bob))[0] for seq in seqs] == [
        *(True, False, False, False),
        *(True, False, False),
    ]
    assert (state(alice, conv).read_seq, state(bob, conv).peer_read) == (7, 7)


@pytest.mark.parametrize("kind", ["d", "u"])
def test_a_batch_is_in_order_too(pair: tuple[str, str, str], kind: str) -> None:
    alice, _, conv = pair
    conv = conv if kind == "d" else conversation.inbox(alice)
    moved = read(*(Mark(alice, conv, seq) for seq in (3, 2, 3, 6, 5)))
    assert moved == [True, False, False, True, False]
    assert state(alice, conv).read_seq == 6


@pytest.mark.parametrize("known", [True, False])
def test_of_marks_at_the_same_instant_each_moves_once(stores: Stack, known: bool) -> None:
    """Also where there is no state yet, and where Redis loses what it has meanwhile."""
    alice = new_id()
    conv = conversation.inbox(alice)
    if known:
        read(Mark(alice, conv, 1))
    seqs = [seq for seq in range(2, 12) for _ in range(4)]
    random.shuffle(seqs)

    def one(seq: int) -> int | None:
        if seq % 4 == 0:
            forget(alice)
        return seq if read(Mark(alice, conv, seq)) == [True] else None

    with ThreadPoolExecutor(8) as pool:
        moved = [seq for seq in pool.map(one, seqs) if seq is not None]
    assert len(moved) == len(set(moved))
    assert max(moved) == 11
    forget(alice)
    assert state(alice, conv).read_seq == 11


def test_what_redis_lost_is_as_it_was(pair: tuple[str, str, str]) -> None:
    alice, bob, conv = pair
    read(Mark(alice, conv, 5, bob))
    read(Mark(bob, conv, 3, alice))
    states().update(alice, conv, {"pinned": True})
    before = [state(uid, conv)._replace(changed=0) for uid in (alice, bob)]
    assert (before[0].read_seq, before[0].peer_read, before[0].pinned) == (5, 3, True)
    for lost in ((alice,), (bob,), (alice, bob)):
        forget(*lost)
        assert read(Mark(alice, conv, 4, bob), Mark(bob, conv, 2, alice)) == [False, False]
        assert [state(uid, conv)._replace(changed=0) for uid in (alice, bob)] == before


def test_a_mark_that_nobody_is_told_of_is_ones_own(pair: tuple[str, str, str]) -> None:
    alice, bob, conv = pair
    read(Mark(alice, conv, 2, bob))
    read(Mark(alice, conv, 6))
    for _ in range(2):
        assert (state(alice, conv).read_seq, state(bob, conv).peer_read) == (6, 2)
        forget(alice, bob)


def test_another_ones_mark_is_a_change_of_ones_own_list(pair: tuple[str, str, str]) -> None:
    alice, bob, conv = pair
    now = states().of([bob])[0]
    read(Mark(alice, conv, 1, bob))
    assert state(bob, conv).changed >= now


def test_many_people_at_once(stores: Stack) -> None:
    uids: Sequence[str] = [new_id() for _ in range(120)]
    marks = [Mark(uid, conversation.inbox(uid), 2) for uid in uids]
    assert read(*marks) == [True] * 120
    assert read(*marks) == [False] * 120
