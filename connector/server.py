"""All sockets of this connector: admitted, counted, closed."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from connector import metrics
from connector.crowd import Crowd
from connector.limits import Limits
from connector.peers import place
from connector.session import ABUSE, GOING_AWAY, Session
from connector.socket import Socket
from shared.ids import new_id
from shared.rpc import Request
from shared.settings import Settings

_CONNECTED = metrics.SESSIONS.labels("connected")

Dispatch = Callable[[Socket, Request, int], None]


class Server:
    """A session is admitted with its socket and leaves with it. `on_read` is called where a client
    reads again that did not."""

    def __init__(
        self,
        limits: Limits,
        dispatch: Dispatch,
        config: Settings,
        *,
        on_admit: Callable[[Session, float], None],
        on_leave: Callable[[Session], None],
        on_read: Callable[[Session], None],
    ) -> None:
        """`limits` are those of a socket without a session."""
        self.dispatch = dispatch
        self.frame_limit = config.frame_limit
        self.send_buffer_limit = config.send_buffer_limit
        self.send_buffer_most = config.send_buffer_most
        self.clock = time.monotonic
        self.sockets: dict[Session, Socket] = {}
        self.frames_in = 0  # since `count_frames`
        self._limits = limits
        self._on_admit = on_admit
        self._on_leave = on_leave
        self._on_read = on_read
        self._sessions_limit = config.sessions_limit
        self._slow_after = config.slow_reader_timeout
        self._unopened: Crowd[Socket] = Crowd(config.unopened_limit)
        self._slow: dict[Socket, None] = {}
        self._numbers = 0
        self._empty: asyncio.Event | None = None

    def has_room(self) -> bool:
        """Whether one more may come; where the house is full, the oldest of those that have not
        opened a session makes room."""
        if len(self.sockets) < self._sessions_limit:
            return True
        oldest = self._unopened.take_oldest()
        if oldest is None:
            return False
        _send_away(oldest, "no session was opened, and there is no room")
        return True

    def admit(self, socket: Socket) -> Session:
        self._numbers += 1
        now = self.clock()
        session = Session(
            self._numbers, new_id(), self._limits, socket, now, ip=socket.ip, agent=socket.agent
        )
        self.sockets[session] = socket
        self._on_admit(session, now)
        _CONNECTED.inc()
        self._wait_for(socket)
        return session

    def opens(self, socket: Socket, *, opens: bool) -> None:
        """Whether the socket is opening a session, or has one."""
        if opens:
            self._unopened.remove(place(socket.ip), socket)
        elif not socket.session.closing:
            self._wait_for(socket)

    def _wait_for(self, socket: Socket) -> None:
        """The socket is to open a session."""
        crowded = self._unopened.put(place(socket.ip), socket)
        if crowded is not None:
            _send_away(crowded, "too many sockets without a session")

    def count_frames(self) -> None:
        """Tells the metrics, which would cost as much as a frame if each were told."""
        metrics.FRAMES_IN.inc(self.frames_in)
        self.frames_in = 0

    def leave(self, socket: Socket) -> None:
        """The session listens to nothing any more."""
        self._on_leave(socket.session)

    def forget(self, socket: Socket) -> None:
        """The connection is gone."""
        session = socket.session
        left, session.closing = session.closing, True
        self._unopened.remove(place(socket.ip), socket)
        if self.sockets.pop(session, None) is not None:
            _CONNECTED.dec()
            if not left:
                self.leave(socket)
        self.unclogged(socket)
        if not self.sockets and self._empty is not None:
            self._empty.set()

    def clogged(self, socket: Socket) -> None:
        """The client reads slower than it is written to: nothing more is called for it."""
        socket.session.clogged = True
        self._slow[socket] = None

    def unclogged(self, socket: Socket) -> None:
        """The client reads again, or is gone."""
        if self._slow.pop(socket, "not there") is None:
            socket.session.clogged = False
            self._on_read(socket.session)

    def look_at_slow_ones(self) -> None:
        """Closes those who have taken nothing for too long."""
        now = self.clock()
        for socket in list(self._slow):
            socket.look_at_progress(now, self._slow_after)

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


def _send_away(socket: Socket, why: str) -> None:
    socket.close(ABUSE, why)
    socket.drop()
