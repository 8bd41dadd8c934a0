"""Sessions without sockets, and where their frames go."""

from dataclasses import dataclass, field, replace
from typing import Any

from connector.limits import Limits, Rate
from connector.session import Session

_ENDLESS = Rate(1e9, 1e9)
ENDLESS = Limits(
    calls=_ENDLESS,
    call_bytes=10**9,
    noise=_ENDLESS,
    frame=10**9,
    in_flight=10**9,
    in_flight_bytes=10**9,
    invalid_in_a_row=10**9,
)


@dataclass
class Recorder:
    """Keeps the frames, and every buffer that was written."""

    frames: list[bytes] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.writes.append(frame)

    def write_framed(self, wire: bytes) -> None:
        found = unframed(wire)
        self.frames += found
        self.writes.append(wire)


def limits(**changes: Any) -> Limits:
    """No limits but these."""
    return replace(ENDLESS, **changes)


def session(
    uid: str | None = None, sid: str = "sid00000", now: float = 0.0, **state: Any
) -> Session:
    """A session of this person (of nobody without one), in a certain state."""
    made = Session(state.pop("number", 1), sid, state.pop("limits", ENDLESS), Recorder(), now)
    made.uid, made.device = uid, None if uid is None else "did"
    for name, value in state.items():
        setattr(made, name, value)
    return made


def unframed(wire: bytes) -> list[bytes]:
    """The payloads of a server's text frames."""
    found = []
    while wire:
        first, size, start = wire[0], wire[1], 2
        assert first == 0x81
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(wire[2:start])
        assert len(wire) >= start + size
        found.append(wire[start : start + size])
        wire = wire[start + size :]
    return found
