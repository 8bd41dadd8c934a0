"""Where frames of sessions without sockets go."""

from dataclasses import dataclass, field


@dataclass
class Recorder:
    """Keeps the frames, and every buffer that was written."""

    frames: list[bytes] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.writes.append(frame)

    def write_framed(self, wire: bytes, count: int) -> None:
        found = unframed(wire)
        assert len(found) == count
        self.frames += found
        self.writes.append(wire)


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
