"""One client's session: what its frames mean and what it may still do. No socket, no Redis here."""

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from connector.limits import Bucket, Limits
from shared import rpc
from shared.errors import CallError, Reason
from shared.ids import request_id
from shared.rpc import BadRequestError, Request
from shared.tokens import Access

GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED = 1003
TOO_LARGE = 1009
SIGNED_OUT = 4001
ABUSE = 4003
TOO_SLOW = 4008


@dataclass(frozen=True, slots=True)
class Refused:
    """The frame is answered at once with this frame; `close` ends the session besides."""

    frame: bytes
    close: int | None = None


class Outlet(Protocol):
    """The way to the client; once it is gone, nothing happens."""

    def write(self, frame: bytes) -> None:
        """Sends a text frame."""

    def write_framed(self, wire: bytes) -> None:
        """Sends text frames that are framed for the wire already (`fanout.framed`)."""


class Session:
    """State of one socket, from the upgrade on; or of a caller over HTTP (`is_socket` is False),
    one of many whose limits are counted in the same `account`."""

    __slots__ = (
        "_caller",
        "_calls",
        "_limits",
        "_noise",
        "access",
        "account",
        "agent",
        "along",
        "asked",
        "channels",
        "clogged",
        "closing",
        "device",
        "expires",
        "in_flight",
        "in_flight_bytes",
        "invalid",
        "ip",
        "is_socket",
        "left",
        "number",
        "opened",
        "opening",
        "outlet",
        "pinged",
        "request_id",
        "roles",
        "seen",
        "sid",
        "since",
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
        is_socket: bool = True,
        account: "Session | None" = None,
    ) -> None:
        self.number = number
        self.sid = sid
        self.outlet = outlet
        self.ip = ip
        self.agent = agent
        self.is_socket = is_socket
        self.account = account
        self.since = now
        self.seen = now
        self.limit(limits, now)
        self.pinged: float | None = None  # when, if nothing came since
        self.invalid = 0
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.clogged = False  # its client does not read, so nothing is called for it
        self.opening = False
        self.opened = False
        self.closing = False
        self.request_id = request_id()  # of what was last asked for the session itself
        self._caller: bytes | None = None  # encoded once
        self.uid: str | None = None
        self.device: str | None = None
        self.roles: tuple[str, ...] = ()
        self.access: Access | None = None  # the token that a socket showed last
        self.expires = 0.0
        self.channels: set[str] = set()
        self.along: dict[str, str] | None = None  # channels it hears only along with others
        self.asked = 0  # functions that are being asked for its channels
        self.left: set[str] | None = None  # channels left while they are

    def limit(self, limits: Limits, now: float) -> None:
        """From now on these limits hold."""
        self._limits = limits
        self._calls = Bucket(limits.calls, now)
        self._noise = Bucket(limits.noise, now)

    @property
    def caller(self) -> bytes:
        """Who calls, as members of an event's JSON object, of which there is at least one."""
        if self._caller is None:
            said: dict[str, Any] = {"ip": self.ip}
            if self.agent:
                said["agent"] = self.agent
            if self.is_socket:
                said["sid"] = self.sid
            if self.uid is not None:
                said |= {"uid": self.uid, "did": self.device}
                if self.roles:
                    said["roles"] = ",".join(self.roles)
            self._caller = orjson.dumps(said)[1:-1]
        return self._caller

    def sign(self, uid: str | None, device: str | None, roles: tuple[str, ...] = ()) -> None:
        """Says who is behind the session; None for nobody."""
        self.uid, self.device, self.roles = uid, device, roles
        self._caller = None

    @property
    def person(self) -> object:
        """Whose calls wait for each other: the person's; the session's where nobody signed in, or
        its account's."""
        return self.uid or self.account or self

    def receive(self, frame: bytes, now: float) -> Request | Refused:
        """What a text frame asks for: a request to pass on, or what to answer at once."""
        try:
            request = rpc.parse_request(frame)
        except BadRequestError as bad:
            self.invalid += 1
            abuse = self.invalid >= self._limits.invalid_in_a_row
            fault = rpc.error(bad.id, bad.fault.as_dict(request_id()))
            return self._refused(fault, now, len(frame), abuse=abuse)
        self.invalid = 0
        try:
            self.count(len(frame), now)
        except CallError as refusal:
            wasted = len(frame) if refusal.reason == Reason.TOO_LARGE else 0
            fault = rpc.error(request.id, refusal.as_dict(request.request_id))
            return self._refused(fault, now, wasted)
        return request

    def count(self, size: int, now: float) -> None:
        """Counts one request of so many bytes. Raises `rate_limited` and `too_large`."""
        if size > self._limits.frame:
            raise CallError(Reason.TOO_LARGE, f"at most {self._limits.frame} bytes")
        wait = self._calls.take(now, 1 + size // self._limits.call_bytes)
        if wait:
            raise CallError(Reason.RATE_LIMITED, retry_after=wait)

    def fragment(self, size: int, now: float) -> bool:
        """Counts a part of a message. False where there are too many."""
        return not (self._calls.take(now) if size else self._noise.take(now))

    def noise(self, now: float, size: int = 0) -> bool:
        """Counts what asks for nothing, such as a ping, and its bytes. False where it is a
        flood."""
        return not self._noise.take(now, 1 + size // self._limits.call_bytes)

    def _refused(self, frame: bytes, now: float, wasted: int, *, abuse: bool = False) -> Refused:
        flood = not self.noise(now, wasted)
        return Refused(frame, ABUSE if abuse or flood else None)

    @property
    def full(self) -> bool:
        """Whether reading is to pause until calls are answered."""
        limits = self._limits
        return self.in_flight >= limits.in_flight or self.in_flight_bytes >= limits.in_flight_bytes

    @property
    def slack(self) -> bool:
        """Whether reading may go on."""
        limits = self._limits
        return (
            self.in_flight <= limits.in_flight // 2
            and self.in_flight_bytes <= limits.in_flight_bytes // 2
        )
