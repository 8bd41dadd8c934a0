"""The log against a model: writers that stop between any two steps, for a while or for ever,
readers that close holes at once, counters that vanish or go back, a Redis that loses everything,
generations that begin in the middle of an append.

Each writer is a log of its own, as in a process of its own, on a thread that takes one step (a call
of the storage, the sequencer or the announcer) when it is told to. So the schedule is hypothesis'
and a failure shrinks to the shortest one.
"""

import os
from collections.abc import Callable
from typing import Any, TypeGuard

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from local.stack import Stack
from shared import keys
from shared.entry import Draft, Entry
from shared.errors import CallError
from shared.generations import generations
from shared.history import History
from shared.ids import new_id
from shared.log import Log, log
from shared.stores import redis_client
from tests.soft import soft
from tests.steps import Stepping, Worker


class Writer(Worker):
    """One append, taken step by step."""

    def __init__(self, drafts: list[Draft]) -> None:
        self.drafts = drafts
        super().__init__(self._append)

    @property
    def outcomes(self) -> list[Entry | CallError]:
        return self.found or []

    def _append(self, turn: Callable[[], None]) -> list[Entry | CallError]:
        own: Log = log.__wrapped__()
        own.storage = Stepping(own.storage, turn)  # type: ignore[assignment]
        own.announcer = Stepping(own.announcer, turn)  # type: ignore[assignment]
        own._sequencer = Stepping(own._sequencer, turn)  # type: ignore[assignment]
        return own.append(self.drafts)


class LogMachine(RuleBasedStateMachine):
    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        self.conv = f"g:{new_id()}"
        self.cids = 0
        self.all: list[Writer] = []
        self.seen: dict[int, str] = {}  # what any reader ever saw: number → id
        self.reached = 0  # how far contiguous readers have come

    @initialize()
    def begin(self) -> None:
        self.append(["first"], "sender00")

    def append(self, cids: list[str], sender: str) -> Writer:
        drafts = [
            Draft(self.conv, sender, "message.send", cid, "text", {"text": cid}) for cid in cids
        ]
        writer = Writer(drafts)
        self.all.append(writer)
        return writer

    @rule(target=writers, count=st.integers(1, 4), sender=st.sampled_from(["sender01", "sender02"]))
    def write(self, count: int, sender: str) -> Writer:
        self.cids += count
        return self.append([f"c{self.cids - n}" for n in range(count)], sender)

    @rule(target=writers, writer=writers)
    def repeat(self, writer: Writer) -> Writer:
        """A client that got no answer, or did not wait for it, sends the same again."""
        return self.append([draft.cid for draft in writer.drafts], writer.drafts[0].sender)

    @rule(writer=writers, steps=st.integers(1, 6))
    def step(self, writer: Writer, steps: int) -> None:
        for _ in range(steps):
            writer.step()

    @rule(writer=writers)
    def finish(self, writer: Writer) -> None:
        writer.finish()

    @rule(target=writers, writer=consumes(writers))
    def crash(self, writer: Writer) -> Any:
        writer.crash()
        return multiple()

    @rule(back=st.integers(0, 6))
    def move_counter_back(self, back: int) -> None:
        key = soft(keys.sequence(self.conv))
        now = int(redis_client().get(key) or 0)
        redis_client().set(key, max(0, now - back))

    @rule()
    def lose_counter(self) -> None:
        redis_client().delete(soft(keys.sequence(self.conv)))

    @rule()
    def lose_redis(self) -> None:
        """All there is of this log is gone, and the mark with it."""
        redis_client().delete(
            keys.GENERATION, soft(keys.sequence(self.conv)), soft(keys.tail(self.conv))
        )

    @rule()
    def raise_generation(self) -> None:
        """As whoever finds that Redis went back: what it says stays where it was."""
        generations().supersede(generations().present(), "a test")

    @rule(patient=st.booleans())
    def read(self, patient: bool) -> None:
        """A reader goes on from where it was; an impatient one closes holes at once."""
        history = History(log(), hole_age=3600 if patient else -1)
        page = history.after(self.conv, self.reached, 200)
        for entry in page.entries:
            assert entry["seq"] == self.reached + 1, "a reader skipped a number"
            self.reached = entry["seq"]
            self._see(entry["seq"], entry["id"])

    @rule()
    def look_back(self) -> None:
        """What was read stays as it was."""
        for entry in History(log(), hole_age=3600).before(self.conv, self.reached + 1, 200).entries:
            self._see(entry["seq"], entry["id"])

    @invariant()
    def what_was_acknowledged_is_in_the_head(self) -> None:
        told = [each.seq for writer in self.all for each in writer.outcomes if _is_stored(each)]
        assert log().tails.numbers([self.conv])[self.conv].seq >= max(told, default=0)

    def teardown(self) -> None:
        for writer in self.all:
            writer.finish()
        self.read(patient=False)
        stored = log().storage.between(self.conv, 1, 10_000)
        assert [entry["seq"] for entry in stored] == list(range(1, len(stored) + 1)), "not dense"
        for entry in stored:
            self._see(entry["seq"], entry["id"])
        commands = [(entry["sender"], entry.get("cid")) for entry in stored if "cid" in entry]
        assert len(commands) == len(set(commands)), "a command was stored twice"
        places = {(entry["sender"], entry.get("cid")): entry for entry in stored}
        for writer in self.all:
            last = 0
            for draft, outcome in zip(writer.drafts, writer.outcomes, strict=False):
                assert isinstance(outcome, Entry), outcome
                entry = places[draft.sender, draft.cid]
                assert (entry["seq"], entry["id"]) == (outcome.seq, outcome.id), "lost or moved"
                if outcome.fresh:
                    assert outcome.seq > last, "one append was reordered"
                    last = outcome.seq

    def _see(self, seq: int, id_: str) -> None:
        assert self.seen.setdefault(seq, id_) == id_, f"number {seq} was written twice"


def _is_stored(outcome: Entry | CallError) -> TypeGuard[Entry]:
    return isinstance(outcome, Entry)


@pytest.mark.timeout(280)
def test_no_schedule_breaks_the_log(stores: Stack) -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "40")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
