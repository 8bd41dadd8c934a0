"""Whoever listens gets what it should, in order, in as few writes as can be."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.fanout import Fanout, framed
from connector.session import Session
from connector.subscriptions import Subscriptions
from tests.connector.outlets import ENDLESS, Recorder, unframed

PEOPLE = "abcd"
CHANNELS = ["group:1", "group:2", "presence:1", *(f"user:{uid}" for uid in PEOPLE)]


class Room(NamedTuple):
    fanout: Fanout
    subscriptions: Subscriptions
    sessions: list[Session]
    outlets: dict[str, Recorder]


def room(people: str, joined: list[set[str]]) -> Room:
    """A session for each of the people, who may come twice, on their own channel and others."""
    subscriptions = Subscriptions()
    sessions, outlets = [], {}
    for number, (uid, names) in enumerate(zip(people, joined, strict=True)):
        outlet = outlets[f"s{number}"] = Recorder()
        session = Session(number, f"s{number}", ENDLESS, outlet, 0.0)
        session.uid = uid
        for name in {f"user:{uid}", *names}:
            subscriptions.subscribe(session, name)
        sessions.append(session)
    return Room(Fanout(subscriptions), subscriptions, sessions, outlets)


def wanted(session: Session, header: dict[str, Any]) -> bool:
    """What the header of a delivery means."""
    return (
        bool(session.channels.intersection(header["to"]))
        and session.sid != header.get("skip_session")
        and session.uid not in header.get("skip_users", ())
        and header.get("only_session") in (None, session.sid)
    )


some_channels = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True)
some_session = st.sampled_from([f"s{number}" for number in range(7)])
headers = st.fixed_dictionaries(
    {"to": some_channels},
    optional={
        "skip_session": some_session,
        "only_session": some_session,
        "skip_users": st.lists(st.sampled_from(PEOPLE), max_size=2),
    },
)


@given(
    st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sets(st.sampled_from(CHANNELS[:3]))), max_size=6
    ),
    st.lists(headers, max_size=12),
)
def test_every_session_gets_what_is_for_it_in_one_write(
    people: list[tuple[str, set[str]]], deliveries: list[dict[str, Any]]
) -> None:
    here = room("".join(uid for uid, _ in people), [names for _, names in people])
    for number, header in enumerate(deliveries):
        here.fanout.add(header, b"%d" % number)
    here.fanout.flush()
    for session in here.sessions:
        outlet = here.outlets[session.sid]
        expected = [b"%d" % n for n, header in enumerate(deliveries) if wanted(session, header)]
        assert outlet.frames == expected
        assert len(outlet.writes) == min(1, len(expected))


def test_one_buffer_serves_all_but_those_who_are_left_out() -> None:
    """As in a busy group: everybody's message is for all but its sender."""
    here = room(PEOPLE * 5, [{"group:1"}] * 20)
    for uid in "ab":
        own = {"to": [f"user:{uid}"], "skip_session": f"s{PEOPLE.index(uid)}"}
        here.fanout.add(own, b"own " + uid.encode())
        here.fanout.add({"to": ["group:1"], "skip_users": [uid]}, b"of " + uid.encode())
    here.fanout.flush()
    others = [here.outlets[each.sid] for each in here.sessions if each.uid in ("c", "d")]
    assert len({id(outlet.writes[0]) for outlet in others}) == 1
    assert others[0].frames == [b"of a", b"of b"]
    assert here.outlets["s0"].frames == [b"of b"]
    assert here.outlets["s4"].frames == [b"own a", b"of b"]
    assert here.outlets["s5"].frames == [b"of a", b"own b"]


class Closing(Recorder):
    """A client that is too slow: its session leaves when it is written to."""

    room: Room

    def write(self, frame: bytes) -> None:
        super().write(frame)
        self.room.subscriptions.drop(self.room.sessions[0])


def test_a_session_that_closes_on_the_way_costs_the_others_nothing() -> None:
    here = room(PEOPLE, [{"group:1"}] * 4)
    slow = Closing()
    slow.room = here
    here.sessions[0].outlet = slow
    here.fanout.add({"to": ["group:1"]}, b"1")
    here.fanout.flush()
    assert [outlet.frames for outlet in here.outlets.values()][1:] == [[b"1"]] * 3


def test_it_is_full_by_count_and_by_bytes() -> None:
    fanout = Fanout(Subscriptions())
    for _ in range(255):
        fanout.add({"to": ["user:a"]}, b"x")
    assert not fanout.full
    fanout.add({"to": ["user:a"]}, b"x")
    assert fanout.full
    fanout.flush()
    assert not fanout.full
    fanout.add({"to": ["user:a"]}, b"x" * (64 * 1024 - 1))
    assert not fanout.full
    fanout.add({"to": ["user:a"]}, b"x")
    assert fanout.full


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_frames_are_as_rfc_6455_has_them(size: int) -> None:
    text = b"a" * size
    wire = framed(text)
    header = {0: 2, 1: 4, 2: 10}[(size > 125) + (size > 65_535)]
    assert len(wire) == size + header
    assert unframed(wire + framed(b"next")) == [text, b"next"]
