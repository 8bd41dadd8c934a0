"""Frames on their way to many sessions.

What a delivery costs is the write to a socket, not the bytes. So frames that came together leave
together: each session is written to once for all of them, in their order. Nearly all sessions get
what everybody on their channel gets, one buffer that is made once. Those that are left out of
something, or listen to several of the channels (few listen to one person's), get theirs put
together one by one.
"""

from collections.abc import Collection
from typing import Any

from connector import metrics
from connector.session import Session
from connector.subscriptions import Subscriptions
from shared import channels

_FRAMES = 256  # gathered at most
_BYTES = 64 * 1024
_FEW = 2  # sessions, each of which is looked at by itself
_TEXT = 0x81  # RFC 6455: a text message, whole

Audience = tuple[tuple[str, ...], str | None, str | None]  # channels; but for, or only a session


class Fanout:
    """`add` gathers deliveries, `flush` writes them. Flush before subscriptions change."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._gathered: list[tuple[dict[str, Any], bytes]] = []
        self._size = 0

    def add(self, header: dict[str, Any], frame: bytes) -> None:
        """A text frame, for whom the header of a delivery names (`shared.bus`)."""
        self._gathered.append((header, frame))
        self._size += len(frame)

    @property
    def full(self) -> bool:
        return len(self._gathered) >= _FRAMES or self._size >= _BYTES

    def flush(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        listening: dict[Audience, set[Session]] = {}
        everybody: set[Session] = set()
        special: set[Session] = set()
        deliveries: list[tuple[Audience | None, Collection[Session], bytes]] = []
        for header, frame in gathered:
            audience = _audience(header)
            few = self._few(audience, header)
            if few is not None:
                special.update(few)
                deliveries.append((None, few, frame))
                continue
            sessions = listening.get(audience)
            if sessions is None:
                sessions = listening[audience] = self._listening(*audience)
                special |= everybody & sessions
                everybody |= sessions
            skipped = self._skipped(header)
            special |= skipped
            deliveries.append((audience, skipped, frame))

        common: dict[Audience, list[bytes]] = {audience: [] for audience in listening}
        single: dict[Session, list[bytes]] = {}
        for many, named, frame in deliveries:
            if many is not None:
                common[many].append(frame)
                named = (special & listening[many]).difference(named)
            for session in named:
                single.setdefault(session, []).append(frame)
        sent = 0
        for audience, frames in common.items():
            sent += _write(listening[audience] - special, frames)
        for session, frames in single.items():
            sent += _write((session,), frames)
        metrics.FRAMES_OUT.inc(sent)

    def _few(self, audience: Audience, header: dict[str, Any]) -> list[Session] | None:
        """Who gets it, where so few listen that looking at each is the shortest way."""
        if len(self._subscriptions.of_any(audience[0])) > _FEW:
            return None
        skip_users = header.get("skip_users", ())
        return [each for each in self._listening(*audience) if each.uid not in skip_users]

    def _listening(self, to: tuple[str, ...], skip: str | None, only: str | None) -> set[Session]:
        sessions = self._subscriptions.of_any(to)
        if skip is None and only is None:
            return sessions
        return {each for each in sessions if each.sid != skip and only in (None, each.sid)}

    def _skipped(self, header: dict[str, Any]) -> set[Session]:
        names = [channels.user(uid) for uid in header.get("skip_users", ())]
        return self._subscriptions.of_any(names)


def _audience(header: dict[str, Any]) -> Audience:
    return tuple(header["to"]), header.get("skip_session"), header.get("only_session")


def _write(sessions: Collection[Session], frames: list[bytes]) -> int:
    """How many frames that were."""
    if len(frames) == 1:
        for session in sessions:
            session.outlet.write(frames[0])
    elif sessions:
        wire = b"".join(map(framed, frames))
        for session in sessions:
            session.outlet.write_framed(wire)
    return len(sessions) * len(frames)


def framed(text: bytes) -> bytes:
    """A text message as a server puts it on the wire (RFC 6455, section 5.2): whole, unmasked."""
    size = len(text)
    if size < 126:
        return bytes((_TEXT, size)) + text
    if size < 1 << 16:
        return bytes((_TEXT, 126)) + size.to_bytes(2) + text
    return bytes((_TEXT, 127)) + size.to_bytes(8) + text
