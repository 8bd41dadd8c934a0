"""One client's session: what its frames mean and what it may still do. No socket, no Redis here."""

from dataclasses import dataclass
from typing import Any, Protocol

from shared import rpc
from shared.errors import CallError, Reason
from shared.rpc import BadRequestError, Request

GOING_AWAY = 1001
SIGNED_OUT = 4001
ABUSE = 4003
TOO_SLOW = 4008


@dataclass(frozen=True, slots=True)
class Refused:
    """The frame is answered at once with this frame; too many in a row close the session."""

    frame: bytes
    close: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may do."""

    rate: float  # calls a second, sustained
    burst: int  # calls at once
    in_flight: int  # unanswered calls before reading pauses
    invalid_in_a_row: int

    def as_result(self, frame_limit: int) -> dict[str, Any]:
        return {
            "frame_bytes": frame_limit,
            "calls_per_second": self.rate,
            "burst": self.burst,
            "in_flight": self.in_flight,
        }


class Outlet(Protocol):
    """The way to the client; once it is gone, nothing happens."""

    def write(self, frame: bytes) -> None:
        """Sends a text frame."""

    def write_framed(self, wire: bytes, count: int) -> None:
        """Sends so many text frames that are framed for the wire already (`fanout.framed`)."""


class Session:
    """State of one socket, from the upgrade on."""

    __slots__ = (
        "agent",
        "channels",
        "closing",
        "device",
        "expires",
        "held",
        "in_flight",
        "invalid",
        "ip",
        "is_socket",
        "left",
        "limits",
        "number",
        "opened",
        "outlet",
        "pinged",
        "roles",
        "seen",
        "sid",
        "since",
        "tokens",
        "tokens_at",
        "uid",
    )

    def __init__(
        self,
        number: int,
        sid: str,
        limits: Limits,
        outlet: Outlet,
        now: float,
        *,
        ip: str = "",
        agent: str = "",
    ) -> None:
        self.number = number
        self.sid = sid
        self.ip = ip
        self.agent = agent
        self.is_socket = True
        self.limits = limits
        self.outlet = outlet
        self.since = now
        self.seen = now
        self.tokens: float = limits.burst
        self.tokens_at = now
        self.pinged: float | None = None  # when, if nothing came since
        self.invalid = 0
        self.in_flight = 0
        self.opened = False
        self.closing = False
        self.uid: str | None = None
        self.device: str | None = None
        self.roles: tuple[str, ...] = ()
        self.expires = 0.0
        self.channels: set[str] = set()
        self.left: set[str] | None = None  # channels left while the session is being opened
        self.held: list[bytes] | None = None  # frames that came while it is being opened

    def receive(self, frame: bytes, now: float) -> Request | Refused:
        """What a text frame asks for: a request to pass on, or what to answer at once."""
        try:
            request = rpc.parse_request(frame)
        except BadRequestError as bad:
            self.invalid += 1
            abuse = self.invalid >= self.limits.invalid_in_a_row
            return Refused(rpc.error(bad.id, bad.fault.as_dict()), ABUSE if abuse else None)
        self.invalid = 0
        wait = self._wait(now)
        if wait:
            slow_down = CallError(Reason.RATE_LIMITED, retry_after=wait)
            return Refused(rpc.error(request.id, slow_down.as_dict()))
        return request

    def _wait(self, now: float) -> float:
        """Takes one token from the bucket, or says how many seconds until there is one."""
        rate = self.limits.rate
        self.tokens = min(self.limits.burst, self.tokens + (now - self.tokens_at) * rate)
        self.tokens_at = now
        if self.tokens < 1:
            return round((1 - self.tokens) / rate, 3) or 0.001
        self.tokens -= 1
        return 0.0

    @property
    def full(self) -> bool:
        """Whether reading is to pause until calls are answered."""
        return self.in_flight >= self.limits.in_flight

    @property
    def slack(self) -> bool:
        """Whether reading may go on."""
        return self.in_flight <= self.limits.in_flight // 2
