"""Sockets: frames in and out, the three HTTP pages, closing. Thin, around `session`."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast

import picows
from multidict import CIMultiDict
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
)
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from connector import metrics
from connector.session import GOING_AWAY, TOO_SLOW, Limits, Refused, Session
from shared.ids import new_id
from shared.rpc import Request

PATH = "/v1"
SUBPROTOCOL = "stonechat.v1"
TOO_LARGE = 1009
_CONNECTED = metrics.SESSIONS.labels("connected")
_CLOSING_TIME = 5.0  # seconds for a client to take the last frames before it is dropped

Upgrade = WSListener | WSUpgradeResponseWithListener
Dispatch = Callable[["Socket", Request, int], None]


class Socket(WSListener):
    """One client's connection. Its session says what frames mean; this moves them."""

    __slots__ = (
        "_gone",
        "_last_words",
        "_parts",
        "_parts_size",
        "_paused",
        "_server",
        "_transport",
        "session",
    )

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._paused = False
        self._gone = False
        self._last_words = (GOING_AWAY, "")
        self._transport: WSTransport
        self.session: Session

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=self._server.send_buffer_limit)
        self.session = self._server.admit(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        session = self.session
        session.seen = self._server.clock()
        session.pinged = None
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin and not self._parts:
            self.receive(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            pass
        elif kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self._assemble(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._gone = True
        self._server.forget(self)

    def pause_writing(self) -> None:
        """The client does not read: what it misses it will fetch when it comes back."""
        self.close(TOO_SLOW, "too slow to read")

    def resume_writing(self) -> None:
        pass

    def receive(self, text: bytes) -> None:
        """Acts on one text frame."""
        session = self.session
        if session.closing:
            return
        self._server.frames_in += 1
        if session.held is not None:
            session.held.append(text)
            if len(session.held) >= session.limits.in_flight:
                self._pause()
            return
        meaning = session.receive(text, self._server.clock())
        if isinstance(meaning, Refused):
            self.write(meaning.frame)
            if meaning.close is not None:
                self.close(meaning.close, "too many invalid frames")
            return
        session.in_flight += 1
        if session.full:
            self._pause()
        self._server.dispatch(self, meaning, len(text))

    def release(self) -> None:
        """Acts on the frames that were held while the session was being opened."""
        held, self.session.held = self.session.held or [], None
        for text in held:
            self.receive(text)
        self._resume()

    def answer(self, frame: bytes) -> None:
        """The result or error of one call; to a client that is gone, nothing happens."""
        self.session.in_flight -= 1
        if self._gone:
            return
        self.write(frame)
        self._resume()
        if self.session.closing and not self.session.in_flight:
            self._finish()

    def write(self, frame: bytes) -> None:
        """Sends a text frame; nothing where the client is gone."""
        if self._gone:
            return
        self._server.frames_out += 1
        self._transport.send(WSMsgType.TEXT, frame)

    def write_framed(self, wire: bytes, count: int) -> None:
        """Sends text frames as they are; nothing after a close frame."""
        if self._gone or self._transport.is_close_frame_sent:
            return
        self._server.frames_out += count
        self._transport.underlying_transport.write(wire)

    def ping(self) -> None:
        self.session.pinged = self._server.clock()
        self._transport.send_ping()

    def close(self, code: int, why: str, patience: float = _CLOSING_TIME) -> None:
        """Takes no more frames; closes when the calls under way are answered, and after `patience`
        seconds at the latest."""
        if self.session.closing:
            return
        self.session.closing = True
        self._server.leave(self)
        metrics.CLOSED.labels(code).inc()
        self._last_words = (code, why)
        if not self.session.in_flight or code == TOO_SLOW:
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

    def _assemble(self, frame: WSFrame) -> None:
        """A message in several frames (or a binary one, which the session refuses)."""
        self._parts.append(frame.get_payload_as_bytes())
        self._parts_size += frame.payload_size
        if self._parts_size > self._server.frame_limit:
            self.close(TOO_LARGE, "frame too large")
        elif frame.fin:
            text, self._parts, self._parts_size = b"".join(self._parts), [], 0
            self.receive(text)

    def _pause(self) -> None:
        if not self._paused and not self._gone:
            self._paused = True
            self._transport.underlying_transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self.session.slack and self.session.held is None:
            self._paused = False
            if not self._gone and not self._transport.underlying_transport.is_closing():
                self._transport.underlying_transport.resume_reading()


class Server:
    """All sockets of this connector, and its HTTP pages."""

    def __init__(
        self,
        limits: Limits,
        dispatch: Dispatch,
        on_admit: Callable[[Session, float], None],
        on_leave: Callable[[Session], None],
        ready: Callable[[], bool],
        *,
        frame_limit: int,
        send_buffer_limit: int,
        sessions_limit: int,
    ) -> None:
        self.dispatch = dispatch
        self.frame_limit = frame_limit
        self.send_buffer_limit = send_buffer_limit
        self.clock = time.monotonic
        self.sockets: dict[Session, Socket] = {}
        self.frames_in = self.frames_out = 0  # since `count_frames`
        self._limits = limits
        self._on_admit = on_admit
        self._on_leave = on_leave
        self._ready = ready
        self._sessions_limit = sessions_limit
        self._numbers = 0
        self._empty: asyncio.Event | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listens. Raises `OSError` where the port is taken."""
        self._server = await picows.ws_create_server(
            self._upgrade,
            host,
            port,
            max_frame_size=self.frame_limit,
            read_buffer_init_size=2048,
            enable_auto_pong=False,
            enable_auto_ping=False,
            websocket_handshake_timeout=10,
            disconnect_on_exception=True,
            backlog=4096,
        )

    async def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    def admit(self, socket: Socket) -> Session:
        self._numbers += 1
        now = self.clock()
        session = Session(self._numbers, new_id(), self._limits, socket, now)
        self.sockets[session] = socket
        self._on_admit(session, now)
        _CONNECTED.inc()
        return session

    def count_frames(self) -> None:
        """Tells the metrics, which would cost as much as a frame if each were told."""
        metrics.FRAMES_IN.inc(self.frames_in)
        metrics.FRAMES_OUT.inc(self.frames_out)
        self.frames_in = self.frames_out = 0

    def leave(self, socket: Socket) -> None:
        """The session listens to nothing any more."""
        self._on_leave(socket.session)

    def forget(self, socket: Socket) -> None:
        """The connection is gone."""
        socket.session.closing = True
        if self.sockets.pop(socket.session, None) is not None:
            _CONNECTED.dec()
            self.leave(socket)
        if not self.sockets and self._empty is not None:
            self._empty.set()

    async def close_all(self, why: str, patience: float) -> None:
        """Closes every socket with 1001 and waits until they are gone, `patience` seconds long."""
        for socket in list(self.sockets.values()):
            socket.close(GOING_AWAY, why, patience)
        if self.sockets:
            self._empty = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), patience + 1)
        for socket in list(self.sockets.values()):
            socket.drop()

    def _upgrade(self, request: WSUpgradeRequest) -> Upgrade:
        path = request.path.decode("latin-1").split("?")[0]
        if path == PATH:
            if len(self.sockets) >= self._sessions_limit or not self._ready():
                return _page(HTTPStatus.SERVICE_UNAVAILABLE, b"not taking sessions\n")
            return self._accept(request)
        if path == "/healthz":
            return _page(HTTPStatus.OK, b"ok\n")
        if path == "/readyz":
            if self._ready():
                return _page(HTTPStatus.OK, b"ready\n")
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
        if path == "/metrics":
            self.count_frames()
            return _page(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
        return _page(HTTPStatus.NOT_FOUND, b"not found\n")

    def _accept(self, request: WSUpgradeRequest) -> Upgrade:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
            return Socket(self)
        response = picows.WSUpgradeResponse.create_101_response(
            {"Sec-WebSocket-Protocol": SUBPROTOCOL}
        )
        return picows.WSUpgradeResponseWithListener(response, Socket(self))


def _page(status: HTTPStatus, body: bytes, content_type: str = "text/plain") -> Upgrade:
    response = picows.WSUpgradeResponse()
    response.version, response.status, response.body = b"HTTP/1.1", status, body
    response.headers = CIMultiDict({"Content-Type": content_type})
    return picows.WSUpgradeResponseWithListener(response, None)
