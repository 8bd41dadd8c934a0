"""One client's connection. Its session says what frames mean; this moves them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from connector import metrics
from connector.session import (
    ABUSE,
    GOING_AWAY,
    PROTOCOL_ERROR,
    TOO_LARGE,
    TOO_SLOW,
    UNSUPPORTED,
    Refused,
    Session,
)
from shared.rpc import Request

logger = structlog.get_logger(__name__)

_CLOSING_TIME = 5.0  # seconds for a client to take the last frames before it is dropped


class House(Protocol):
    """What a socket needs of the server that it belongs to."""

    frame_limit: int
    send_buffer_limit: int
    send_buffer_most: int
    frames_in: int
    clock: Callable[[], float]
    dispatch: Callable[["Socket", Request, int], None]

    def admit(self, socket: "Socket") -> Session: ...
    def forget(self, socket: "Socket") -> None: ...
    def leave(self, socket: "Socket") -> None: ...
    def clogged(self, socket: "Socket") -> None: ...
    def unclogged(self, socket: "Socket") -> None: ...


class Socket(WSListener):
    """One WebSocket, from the upgrade on."""

    __slots__ = (
        "_clogged_at",
        "_going_on",
        "_gone",
        "_held",
        "_house",
        "_last_words",
        "_parts",
        "_parts_size",
        "_paused",
        "_sent",
        "_transport",
        "_written",
        "agent",
        "ip",
        "session",
    )

    def __init__(self, house: House, ip: str, agent: str) -> None:
        self.ip = ip
        self.agent = agent
        self._house = house
        self._held: deque[bytes] | None = None  # frames that came where none may be acted on
        self._going_on = False
        self._parts: list[bytes] | None = None
        self._parts_size = 0
        self._paused = False
        self._gone = False
        self._written = 0  # bytes that waited when the client fell behind, and all since
        self._sent = 0  # of these, when last looked at
        self._clogged_at: float | None = None  # when the client last took something
        self._last_words = (GOING_AWAY, "")
        self._transport: WSTransport
        self.session: Session

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        limit = self._house.send_buffer_limit
        transport.underlying_transport.set_write_buffer_limits(high=limit)
        self.session = self._house.admit(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        session = self.session
        if session.closing:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        try:
            now = self._house.clock()
            if frame.msg_type == WSMsgType.TEXT and frame.fin and self._parts is None:
                session.seen, session.pinged = now, None
                if frame.rsv1 or frame.rsv2 or frame.rsv3:
                    self.close(PROTOCOL_ERROR, "reserved bits")
                else:
                    self.receive(frame.get_payload_as_bytes(), now)
            else:
                self._act(frame, session, now)
        except Exception:  # the last resort: whatever a frame does, it does to its own client
            logger.exception("frame_broke")
            self.close(1011, "something went wrong")

    def _act(self, frame: WSFrame, session: Session, now: float) -> None:
        """What any other frame than a whole text does."""
        session.seen = now
        awaited, session.pinged = session.pinged is not None, None
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(PROTOCOL_ERROR, "reserved bits")
        elif kind == WSMsgType.CLOSE:
            self._transport.send_close(frame.get_close_code() or WSCloseCode.OK)
            self._transport.disconnect()
        elif kind in (WSMsgType.PING, WSMsgType.PONG):
            if not (kind == WSMsgType.PONG and awaited) and not session.noise(now):
                self.close(ABUSE, "too many frames that ask for nothing")
            elif kind == WSMsgType.PING and not self._gone and not session.clogged:
                self._transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.BINARY:
            self.close(UNSUPPORTED, "text only")
        else:
            self._assemble(frame, session, now)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._gone = True
        self._house.forget(self)

    def pause_writing(self) -> None:
        """The client reads slower than it is written to."""
        self._written = self._transport.underlying_transport.get_write_buffer_size()
        self._clogged_at, self._sent = self._house.clock(), 0
        self._house.clogged(self)
        self._pause()

    def resume_writing(self) -> None:
        self._clogged_at = None
        self._house.unclogged(self)
        self.go_on()

    def look_at_progress(self, now: float, patience: float) -> None:
        """Closes where the client fell behind and has taken nothing for so many seconds."""
        if self._clogged_at is None:
            return
        sent = self._progress()
        if sent > self._sent:
            self._sent, self._clogged_at = sent, now
        elif now - self._clogged_at > patience:
            self.close(TOO_SLOW, "too slow to read")

    def receive(self, text: bytes, now: float) -> None:
        """Acts on one text frame."""
        session = self.session
        if session.closing:
            return
        self._house.frames_in += 1
        if self._held or session.opening or session.full or session.clogged:
            # What was read before reading paused comes all the same.
            held = self._held = self._held or deque()
            held.append(text)
            self._pause()
            return
        self._ask(text, session, now)

    def _ask(self, text: bytes, session: Session, now: float) -> None:
        meaning = session.receive(text, now)
        if isinstance(meaning, Refused):
            metrics.REFUSED_FRAMES.inc()
            self.write(meaning.frame)
            if meaning.close is not None:
                self.close(meaning.close, "too many refused frames")
            return
        session.in_flight += 1
        session.in_flight_bytes += len(text)
        if session.full:
            self._pause()
        self._house.dispatch(self, meaning, len(text))

    def go_on(self) -> None:
        """Acts on frames that were held, and reads on, as far as that may be."""
        session = self.session
        if self._going_on or self._gone or session.closing:
            return
        self._going_on = True
        try:
            while self._held and not (session.opening or session.full or session.clogged):
                self._ask(self._held.popleft(), session, self._house.clock())
                if session.closing:
                    return
        finally:
            self._going_on = False
        if self._paused and not self._held and session.slack and not session.clogged:
            self._read_on()

    def answer(self, frame: bytes, size: int) -> None:
        """The result or error of one call that came in so many bytes; to a client that is gone,
        nothing happens."""
        self.session.in_flight -= 1
        self.session.in_flight_bytes -= size
        if self._gone:
            return
        self.write(frame)
        self.go_on()
        if self.session.closing and not self.session.in_flight:
            self._finish()

    def refused(self) -> None:
        """A call was refused by the connector itself: a flood of such calls ends the session."""
        if not self.session.noise(self._house.clock()):
            self.close(ABUSE, "too many refused calls")

    def write(self, frame: bytes) -> None:
        """Sends a text frame; nothing where the client is gone."""
        if self._gone:
            return
        self._transport.send(WSMsgType.TEXT, frame)
        if self._clogged_at is not None:
            self._lag(len(frame))

    def write_framed(self, wire: bytes) -> None:
        """Sends text frames as they are; nothing after a close frame."""
        if self._gone or self._transport.is_close_frame_sent:
            return
        self._transport.underlying_transport.write(wire)
        if self._clogged_at is not None:
            self._lag(len(wire))

    def ping(self) -> None:
        self.session.pinged = self._house.clock()
        self._transport.send_ping()

    def close(self, code: int, why: str, patience: float = _CLOSING_TIME) -> None:
        """Takes no more frames; closes when the calls under way are answered, and after `patience`
        seconds at the latest."""
        if self.session.closing:
            return
        self.session.closing = True
        self._house.leave(self)
        metrics.CLOSED.labels(code).inc()
        self._last_words = (code, why)
        if not self.session.in_flight or code in (TOO_SLOW, ABUSE):
            self._finish()
        asyncio.get_running_loop().call_later(patience, self.drop)

    def drop(self) -> None:
        """Ends the connection without further ado."""
        if self._gone:
            return
        self._transport.disconnect(graceful=False)

    def _finish(self) -> None:
        code, why = self._last_words
        # picows sends any number; only its annotation is narrower.
        self._transport.send_close(cast(WSCloseCode, code), why.encode())
        self._transport.disconnect()

    def _assemble(self, frame: WSFrame, session: Session, now: float) -> None:
        """A message in several frames (RFC 6455, section 5.4)."""
        begins = frame.msg_type == WSMsgType.TEXT
        if begins != (self._parts is None):
            self.close(PROTOCOL_ERROR, "a frame amid, or without, a fragmented message")
            return
        if not session.fragment(frame.payload_size, now):
            self.close(ABUSE, "too many fragments")
            return
        parts = self._parts = self._parts or []
        if frame.payload_size:
            parts.append(frame.get_payload_as_bytes())
        self._parts_size += frame.payload_size
        if self._parts_size > self._house.frame_limit:
            self.close(TOO_LARGE, "frame too large")
        elif frame.fin:
            text, self._parts, self._parts_size = b"".join(parts), None, 0
            self.receive(text, now)

    def _progress(self) -> int:
        """Bytes that have left for the client since it fell behind."""
        return self._written - self._transport.underlying_transport.get_write_buffer_size()

    def _lag(self, size: int) -> None:
        """So much more was written to a client that does not keep up."""
        self._written += size
        buffered = self._transport.underlying_transport.get_write_buffer_size()
        if buffered > self._house.send_buffer_most:
            self.close(TOO_SLOW, "too slow to read")

    def _pause(self) -> None:
        if not self._paused and not self._gone:
            self._paused = True
            self._transport.underlying_transport.pause_reading()

    def _read_on(self) -> None:
        self._paused = False
        if not self._transport.underlying_transport.is_closing():
            self._transport.underlying_transport.resume_reading()
