"""The clock of all sessions: one pass a second instead of timers for each.

A session that was not opened in time or whose token expired is closed with 4001; a silent one gets
a ping, and where nothing follows its connection is dropped. Nobody is dropped without a ping: a
connector that slept through the silence asks first.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from connector.session import Session

Verdict = Literal["unopened", "expired", "ping", "dead"]


class Times(NamedTuple):
    """Seconds."""

    open: float
    ping_after: float
    pong: float


def verdict(session: Session, times: Times, clock: float, wall: float) -> Verdict | None:
    """What is due for a session; `clock` is monotonic, `wall` is UTC, in seconds."""
    if session.closing:
        return None
    if not session.opened and clock - session.since > times.open:
        return "unopened"
    if session.opened and wall >= session.expires:
        return "expired"
    if session.pinged is not None:
        return "dead" if clock - session.pinged > times.pong else None
    return "ping" if clock - session.seen > times.ping_after else None


class Due(NamedTuple):
    session: Session
    verdict: Verdict


def due(sessions: Iterable[Session], times: Times, clock: float, wall: float) -> list[Due]:
    """Every session for which something is due."""
    found = []
    for session in sessions:
        what = verdict(session, times, clock, wall)
        if what is not None:
            found.append(Due(session, what))
    return found
