"""How much one client may do: rates as token buckets, sizes and numbers as bounds."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from shared.settings import Settings


class Rate(NamedTuple):
    """So many a second for long, and so many at once."""

    per_second: float
    burst: float


class Bucket:
    """What is left of a rate (a token bucket)."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left: float = rate.burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> float:
        """Takes so much, or nothing and says in how many seconds it is there. More than a whole
        burst is there when the bucket is full, and is owed then."""
        rate = self._rate
        left = min(rate.burst, self._left + (now - self._at) * rate.per_second)
        self._at = now
        needed = min(amount, rate.burst)
        if left < needed:
            self._left = left
            return max(0.001, round((needed - left) / rate.per_second, 3))
        self._left = left - amount
        return 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may do before it has signed in, or after. `noise` is all that asks for nothing:
    pings, empty fragments, refused calls."""

    calls: Rate
    call_bytes: int  # a frame counts as one call, and as one more for each of these
    noise: Rate
    frame: int  # bytes of one request
    in_flight: int  # unanswered calls before reading pauses
    in_flight_bytes: int  # and their bytes
    invalid_in_a_row: int

    def as_result(self) -> dict[str, Any]:
        """What `session.open` tells a client."""
        return {
            "frame_bytes": self.frame,
            "calls_per_second": self.calls.per_second,
            "burst": int(self.calls.burst),
            "in_flight": self.in_flight,
        }


def signed_in(config: Settings) -> Limits:
    """Of an open session, and of a signed caller over HTTP."""
    return Limits(
        calls=Rate(config.rate_per_second, config.rate_burst),
        call_bytes=config.call_bytes,
        noise=Rate(config.noise_per_second, config.noise_burst),
        frame=config.frame_limit,
        in_flight=config.in_flight_limit,
        in_flight_bytes=config.in_flight_bytes,
        invalid_in_a_row=config.invalid_frames_limit,
    )


def anonymous(config: Settings) -> Limits:
    """Of a socket without a session. Public methods take small params."""
    return replace(
        signed_in(config),
        calls=Rate(config.public_per_second, config.public_burst),
        frame=config.public_frame_limit,
        in_flight=config.public_in_flight_limit,
    )


def anonymous_address(config: Settings) -> Limits:
    """Of everybody who calls public methods over HTTP from one address."""
    rate = Rate(config.public_address_per_second, config.public_address_burst)
    return replace(signed_in(config), calls=rate, noise=rate, frame=config.public_frame_limit)
