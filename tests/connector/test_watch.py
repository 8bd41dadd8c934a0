"""What is due for a session, and when."""

import pytest

from connector.session import Limits, Session
from connector.watch import Times, Verdict, verdict

TIMES = Times(open=10, ping_after=20, pong=10)


def session(**state: object) -> Session:
    made = Session(1, "sid00000", Limits(1.0, 1, 1, 1), lambda frame: None, now=100.0)
    for name, value in state.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("state", "clock", "wall", "expected"),
    [
        ({}, 110, 0, None),
        ({}, 111, 0, "unopened"),
        ({"opened": True, "expires": 50.0}, 101, 49.9, None),
        ({"opened": True, "expires": 50.0}, 101, 50.0, "expired"),
        ({"opened": True, "expires": 50.0, "closing": True}, 101, 50.0, None),
        ({"opened": True, "expires": 1e9}, 120, 0, None),
        ({"opened": True, "expires": 1e9}, 121, 0, "ping"),
        ({"opened": True, "expires": 1e9}, 1000, 0, "ping"),
        ({"opened": True, "expires": 1e9, "pinged": 121.0}, 131, 0, None),
        ({"opened": True, "expires": 1e9, "pinged": 121.0}, 132, 0, "dead"),
    ],
)
def test_due(state: dict[str, object], clock: float, wall: float, expected: Verdict | None) -> None:
    assert verdict(session(**state), TIMES, clock, wall) == expected
