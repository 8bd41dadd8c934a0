"""The clock of all sessions: one pass a second instead of timers for each, over those only that may
have something due (a lazy timer wheel, after Varghese & Lauck, SOSP 1987).

A session that was not opened in time or whose token expired, by whatever clock, is closed with
4001; a silent one gets a ping, and where nothing follows its connection is dropped. Nobody is
dropped without a ping: a connector that slept through the silence asks first.
"""

from collections.abc import Container
from typing import Literal, NamedTuple

from connector.session import Session
from shared.clock import LEEWAY

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
    if session.opened and wall >= session.expires + LEEWAY:
        return "expired"
    if session.pinged is not None:
        return "dead" if clock - session.pinged > times.pong else None
    return "ping" if clock - session.seen > times.ping_after else None


class Due(NamedTuple):
    session: Session
    verdict: Verdict


class Watch:
    """Which sessions to look at in which second of the monotonic clock."""

    def __init__(self, times: Times, clock: float) -> None:
        self._times = times
        self._looks: dict[int, list[Session]] = {}
        self._looked = int(clock)  # the last second that was looked at

    def add(self, session: Session, clock: float) -> None:
        """Has an eye on a new session."""
        self._looks.setdefault(int(clock) + 1, []).append(session)

    def due(self, here: Container[Session], clock: float, wall: float) -> list[Due]:
        """Every session for which something is due. Who is not `here` any more is forgotten."""
        found = []
        for second in range(self._looked + 1, int(clock) + 1):
            for session in self._looks.pop(second, ()):
                if session not in here:
                    continue
                what = verdict(session, self._times, clock, wall)
                if what is not None:
                    found.append(Due(session, what))
                rest = 0.0 if what else self._rest(session, clock, wall)
                self._looks.setdefault(int(clock + rest) + 1, []).append(session)
        self._looked = int(clock)
        return found

    def _rest(self, session: Session, clock: float, wall: float) -> float:
        """For how many seconds nothing can be due, whatever the session does."""
        if session.closing or not session.opened or session.pinged is not None:
            return 0.0
        silent = session.seen + self._times.ping_after - clock
        return max(0.0, min(silent, session.expires + LEEWAY - wall))
