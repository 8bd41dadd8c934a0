"""Soft state against the record, in silence: after whatever happened to Redis, and with nobody
writing since, every process says of every log and person what MongoDB says."""

import os
import random
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from local.stack import Stack
from shared import keys
from shared.bus import Bus
from shared.collections import CONVERSATIONS, GENERATIONS, MESSAGES
from shared.content import keyring
from shared.conversation import direct, parse
from shared.entry import Draft, Entry
from shared.generations import Generation, Generations
from shared.history import History
from shared.ids import new_id
from shared.log import Log
from shared.settings import settings as config
from shared.states import Mark, States
from shared.stores import connected, database
from tests.valkey import Valkey, valkey

_PEOPLE = 3
CHANCES = st.integers(0, 2**16).map(random.Random)


class Process:
    """What one process of a function has of the log and of people's states."""

    def __init__(self, url: str) -> None:
        self.redis = connected(url)
        self.generations = Generations(self.redis, database()[GENERATIONS])
        bus = Bus(self.redis, 1000, 1 << 20, 100)
        messages = database()[MESSAGES]
        self.log = Log(self.redis, messages, keyring(), bus, self.generations, config())
        conversations = database()[CONVERSATIONS]
        self.states = States(self.redis, self.generations, conversations, 1000)


class SoftMachine(RuleBasedStateMachine):
    """Two processes, and a Redis that forgets, goes back and is replaced."""

    server: Valkey

    def __init__(self) -> None:
        super().__init__()
        self.uids = sorted(new_id() for _ in range(_PEOPLE))
        self.convs = [direct(one, other) for one in self.uids for other in self.uids if one < other]
        self.processes = [Process(self.server.url) for _ in range(2)]
        self.acknowledged: dict[str, int] = dict.fromkeys(self.convs, 0)
        self.repeatable: list[Draft] = []

    @initialize()
    def begin(self) -> None:
        self.write(self.processes[0], 0, 1)

    processes_ = st.integers(0, 1)

    @rule(process=processes_, conv=st.integers(0, _PEOPLE - 1), count=st.integers(1, 3))
    def append(self, process: int, conv: int, count: int) -> None:
        self.write(self.processes[process], conv, count)

    def write(self, process: Process, conv: int, count: int) -> None:
        name = self.convs[conv]
        place = parse(name)
        assert place is not None
        process.states.register([(name, place)])
        drafts = [
            Draft(name, place.ids[0], "message.send", new_id(), "text", {"text": "x"})
            for _ in range(count)
        ]
        self.repeatable += drafts
        self.done(process.log.append(drafts))

    @rule(process=processes_, which=CHANCES)
    def repeat_one(self, process: int, which: random.Random) -> None:
        """An old command, as from an app that was away."""
        self.repeat(process, which)

    def repeat(self, process: int, which: random.Random) -> None:
        old = which.choice(self.repeatable)
        again = Draft(old.conv, old.sender, old.command, old.cid, old.type, old.body)
        self.done(self.processes[process].log.append([again]))

    def done(self, outcomes: list[object]) -> None:
        for outcome in outcomes:
            assert isinstance(outcome, Entry), outcome
            self.acknowledged[outcome.conv] = max(self.acknowledged[outcome.conv], outcome.seq)

    @rule(process=processes_, conv=st.integers(0, _PEOPLE - 1), which=CHANCES)
    def read(self, process: int, conv: int, which: random.Random) -> None:
        name = self.convs[conv]
        uid = which.choice(name.split(":")[1:])
        mark = Mark(uid, name, which.randint(0, self.acknowledged[name]))
        here = self.processes[process]

        def known(now: Generation) -> list[object]:
            with here.redis.pipeline(transaction=False) as pipe:
                here.states.enqueue(now, pipe, [(uid, name)])
                return now.execute(pipe)

        here.states.read([mark], here.generations.within(known))

    @rule()
    def save(self) -> None:
        self.server.save()

    @rule(restored=st.booleans())
    def restart(self, restored: bool) -> None:
        self.server.restart(restored=restored)

    @rule()
    def follow(self) -> None:
        self.server.follow()

    @rule()
    def fail_over(self) -> None:
        self.server.fail_over()

    @rule(process=processes_, conv=st.integers(0, _PEOPLE - 1), restored=st.booleans())
    def go_back_in_silence(self, process: int, conv: int, restored: bool) -> None:
        """What was written last is not in the Redis that comes back, and nobody writes since."""
        self.server.save()
        self.write(self.processes[process], conv, 1)
        self.server.restart(restored=restored)
        self.compare()

    @rule(process=processes_, which=CHANCES)
    def repeat_without_a_head(self, process: int, which: random.Random) -> None:
        client = self.processes[process].redis
        if heads := list(client.scan_iter("*:tail:*", count=1000)):
            client.delete(*heads)
        self.repeat(process, which)
        self.compare()

    @rule()
    def empty(self) -> None:
        self.processes[0].redis.flushall()

    @rule(which=CHANCES)
    def expire(self, which: random.Random) -> None:
        """Any key alone."""
        client = self.processes[0].redis
        if names := sorted(client.scan_iter(count=1000)):
            client.delete(which.choice(names))

    @rule(which=CHANCES, back=st.integers(1, 3))
    def lower(self, which: random.Random, back: int) -> None:
        """A counter goes back, and nobody notices before it collides."""
        client = self.processes[0].redis
        if counters := sorted(client.scan_iter("*:seq:*", count=1000)):
            name = which.choice(counters)
            client.set(name, max(0, int(client.get(name) or 0) - back))

    @rule()
    def compare(self) -> None:
        """Not after every step: looking mends what it finds missing."""
        self.heads_are_the_record()
        self.states_are_the_record()

    def heads_are_the_record(self) -> None:
        for process in self.processes:
            stored = process.log.storage.highest(self.convs)
            heads = process.log.tails.numbers(self.convs)
            assert {conv: head.seq for conv, head in heads.items()} == stored
            assert all(stored[conv] >= seq for conv, seq in self.acknowledged.items())

    def states_are_the_record(self) -> None:
        for process in self.processes:
            _, known = process.states.of(self.uids)
            stored = database()[CONVERSATIONS].find({"uid": {"$in": self.uids}})
            marks = {(each["uid"], each["conv"]): each["read_seq"] for each in stored}
            assert {
                (uid, conv): state.read_seq
                for uid, states in known.items()
                for conv, state in states.items()
            } == marks

    def teardown(self) -> None:
        self.compare()
        for process in self.processes:
            history = History(process.log, hole_age=-1)
            for conv in self.convs:
                page = history.after(conv, 0, 1000)
                assert [each["seq"] for each in page.entries] == list(range(1, page.last_seq + 1))
                assert page.last_seq == process.log.storage.highest([conv])[conv]
            process.redis.close()


@pytest.fixture(scope="module")
def server(stores: Stack) -> Iterator[Valkey]:
    with valkey() as made:
        yield made


@pytest.mark.timeout(280)
def test_whatever_redis_forgets_the_record_is_told(server: Valkey) -> None:
    class Machine(SoftMachine):
        pass

    Machine.server = server
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "10")),
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_number_is_never_used_twice(server: Valkey) -> None:
    seen = set()
    process = Process(server.url)
    for lose in (
        lambda: process.redis.flushall(),
        lambda: server.restart(restored=False),
        lambda: (server.save(), server.restart(restored=True)),
        lambda: process.generations.supersede(process.generations.present(), "a test"),
    ):
        for _ in range(2):
            lose()
            now = Process(server.url).generations.within(_confirmed(process.redis))
            assert now.number not in seen
            seen.add(now.number)


def test_of_many_who_miss_the_mark_all_agree_in_the_end(server: Valkey) -> None:
    processes = [Process(server.url) for _ in range(8)]
    for process in processes:
        process.generations.present()
    processes[0].redis.flushall()
    for process in processes:
        process.generations.within(_confirmed(process.redis))
    numbers = {process.generations.within(_confirmed(process.redis)) for process in processes}
    assert len(numbers) == 1


def test_one_who_was_away_does_not_raise_what_others_raised(server: Valkey) -> None:
    here, away = Process(server.url), Process(server.url)
    stale = away.generations.present()
    here.generations.supersede(stale, "a test")
    raised = here.generations.present()
    away.generations.supersede(stale, "a test")
    assert away.generations.within(_confirmed(away.redis)) == raised
    assert here.redis.get(keys.GENERATION) == raised.mark


def _confirmed(client: redis.Redis):  # type: ignore[no-untyped-def]
    """Work that needs nothing but the mark."""

    def work(now: Generation) -> Generation:
        with client.pipeline(transaction=False) as pipe:
            pipe.time()
            now.execute(pipe)
        return now

    return work
