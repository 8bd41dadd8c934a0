"""How fast a client may ask: the server's own token bucket, kept a little stricter. No I/O."""

_MARGIN = 16  # calls that open a session, and what else does not pass here
_SLOWEST = 0.1  # calls a second, whatever a server says
_STRICTER = 0.95  # of the server's rate, for clocks that differ


class Pace:
    """A server that is asked faster than its limits refuses some calls and takes later ones, which
    costs their order; so a client does not go faster. Times are monotonic seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """`rate` and `burst` are `calls_per_second` and `burst` of the session's limits."""
        self._rate = max(rate, _SLOWEST) * _STRICTER
        self._burst = max(1.0, burst - _MARGIN, burst / 2)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Whether a call may go out now; if so, it is counted."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until a call may go out."""
        return max(0.0, (1 - self._tokens) / self._rate - (now - self._at))
