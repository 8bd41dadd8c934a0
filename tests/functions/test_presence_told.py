"""What was last told of a person: claims and publications that overtake each other."""

import random
from collections.abc import Iterator

import pytest

from functions.presence import told
from functions.presence.told import Claim, Wanted, claim
from local.stack import Stack
from shared import channels, keys
from shared.generations import generations
from shared.ids import new_id
from shared.scripts import execute
from shared.stores import redis_client


class Person:
    def __init__(self) -> None:
        self.uid = new_id()

    def connect(self) -> None:
        redis_client().sadd(keys.channel(channels.user(self.uid)), "node")

    def disconnect(self) -> None:
        redis_client().delete(keys.channel(channels.user(self.uid)))

    def claim(
        self,
        status: str = "online",
        rev: int = 0,
        *,
        text: str = "",
        gone: bool = True,
        quiet: bool = False,
    ) -> Claim:
        return claim([Wanted(self.uid, rev, status, text, gone, quiet)])[0]

    def confirm(self, made: Claim) -> bool:
        with redis_client().pipeline(transaction=False) as pipe:
            told.confirm(generations().present(), pipe, self.uid, made.number)
            return bool(execute(pipe)[0])


@pytest.fixture
def person(stores: Stack) -> Iterator[Person]:
    made = Person()
    yield made
    made.disconnect()


def test_a_change_is_claimed_once_and_told_once(person: Person) -> None:
    person.connect()
    first = person.claim()
    assert (first.outcome, first.status) == ("tell", "online")
    assert person.claim().outcome == "claimed"
    assert person.confirm(first)
    assert person.claim().outcome == "same"
    assert person.claim(text="new").outcome == "tell"


def test_who_is_not_connected_is_offline_once_it_may_be_said(person: Person) -> None:
    person.connect()
    person.confirm(person.claim(text="here"))
    person.disconnect()
    assert person.claim(gone=False).outcome == "away"
    gone = person.claim("busy", 1, text="here")
    assert (gone.outcome, gone.status) == ("tell", "offline")
    person.confirm(gone)
    assert person.claim("busy", 1, text="here").outcome == "same"


def test_an_older_choice_does_not_overwrite_a_newer(person: Person) -> None:
    person.connect()
    person.confirm(person.claim("busy", 2))
    assert person.claim("online", 1).outcome == "stale"
    assert person.claim("busy", 3).outcome == "same"
    assert person.claim("online", 2).outcome == "stale"


def test_who_claimed_and_died_is_followed(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.connect()
    person.claim()
    monkeypatch.setattr(told, "LEASE", 0.0)
    assert person.claim().outcome == "tell"


def test_nothing_is_told_of_the_unknown_where_quiet(person: Person) -> None:
    person.connect()
    assert person.claim("offline", quiet=True).outcome == "same"
    assert person.claim("online", 1, quiet=True).outcome == "tell"


def test_whose_publication_was_overtaken_tells_again(person: Person) -> None:
    person.connect()
    first = person.claim()
    person.disconnect()
    second = person.claim()
    assert person.confirm(second)
    assert not person.confirm(first)
    again = person.claim()
    assert (again.outcome, again.status) == ("tell", "offline")
    assert person.confirm(again)
    assert person.claim().outcome == "same"


def test_what_a_reader_was_shown_too_early_is_told_again(person: Person) -> None:
    person.connect()
    person.confirm(person.claim())
    assert told.look([person.uid]) == {person.uid}
    assert person.claim().outcome == "same"
    person.disconnect()
    assert told.look([person.uid]) == set()
    person.connect()
    assert person.claim().outcome == "tell"


@pytest.mark.parametrize("seed", range(20))
def test_the_last_told_is_the_truth(person: Person, seed: int) -> None:
    """Handlers look, publish and confirm, one step of one of them at a time, while the person comes
    and goes; each coming and going is looked at later."""
    chance = random.Random(seed)
    published: list[str] = []
    to_look = 0
    under_way: list[tuple[str, Claim]] = []  # (next step, claim)
    connected = False
    for step in range(300):
        if step < 250 and chance.random() < 0.2:
            connected = not connected
            person.connect() if connected else person.disconnect()
            to_look += 1
        elif under_way and chance.random() < 0.6:
            next_, made = under_way.pop(chance.randrange(len(under_way)))
            if next_ == "publish":
                published.append(made.status)
                under_way.append(("confirm", made))
            elif not person.confirm(made):
                to_look += 1
        elif to_look:
            made = person.claim()
            if made.outcome == "tell":
                under_way.append(("publish", made))
            to_look -= made.outcome != "claimed"
    while under_way or to_look:
        for next_, made in under_way:
            if next_ == "publish":
                published.append(made.status)
            to_look += not person.confirm(made)
        under_way = []
        if to_look:
            made = person.claim()
            under_way = [("publish", made)] if made.outcome == "tell" else []
            to_look -= made.outcome != "claimed"
    assert not published or published[-1] == ("online" if connected else "offline")
