"""The port: one door for WebSockets and HTTP. The first line of a connection says which of the two
it speaks, and is handed on with it."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import picows
from multidict import CIMultiDict
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]

from connector import peers
from connector.crowd import Crowd
from connector.peers import Peers

PATH = "/v1"
SUBPROTOCOL = "stonechat.v1"
_FIRST_LINE = 8190  # bytes
_PATIENCE = 10.0  # seconds, for a first line, and for a handshake

Upgrade = WSListener | WSUpgradeResponseWithListener
Accept = Callable[[str, str], WSListener | None]  # of an address and an agent; None: no room
Speaker = asyncio.Protocol | asyncio.BufferedProtocol

# What clients do wrong is not ours to log.
_quiet = logging.getLogger("stonechat.picows")
_quiet.setLevel(logging.CRITICAL + 1)


class Door:
    """`accept` makes the listener of a WebSocket, `http` speaks with everybody else."""

    def __init__(
        self,
        accept: Accept,
        http: Callable[[], asyncio.Protocol],
        who: Peers,
        frame_limit: int,
        visitors_limit: int,
    ) -> None:
        """`visitors_limit` is how many connections from one address may not have said yet what
        they want."""
        self._accept = accept
        self._http = http
        self._peers = who
        self._frame_limit = frame_limit
        self._server: asyncio.Server | None = None
        self._visitors: Crowd[_Visitor] = Crowd(visitors_limit)

    async def open(self, host: str, port: int) -> None:
        """Listens. Raises `OSError` where the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._visitor, host, port, backlog=4096)

    def close(self) -> None:
        """Takes no new connection."""
        if self._server is not None:
            self._server.close()
        while (visitor := self._visitors.take_oldest()) is not None:
            visitor.leave()

    def _visitor(self) -> "_Visitor":
        return _Visitor(self._visitors, self._peers, self._speaker)

    def _speaker(self, line: bytes, peername: Any) -> Speaker:
        """Who speaks with a connection that begins with this line."""
        method, _, rest = line.partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0]
        if method == b"GET" and path == PATH.encode():
            protocol: asyncio.BufferedProtocol = WSProtocol(
                None,
                None,
                False,
                partial(self._upgrade, peername),
                _quiet,
                True,
                _PATIENCE,
                False,
                10.0,
                10.0,
                WSAutoPingStrategy.PING_WHEN_IDLE,
                False,
                self._frame_limit,
                None,
                2048,
            )
            return protocol
        return self._http()

    def _upgrade(self, peername: Any, request: WSUpgradeRequest) -> Upgrade:
        headers = request.headers
        address = self._peers.address(peername, headers)
        socket = self._accept(address, peers.agent(headers.get("User-Agent")))
        if socket is None:
            response = picows.WSUpgradeResponse()
            response.version, response.status = b"HTTP/1.1", HTTPStatus.SERVICE_UNAVAILABLE
            response.headers = CIMultiDict({"Content-Type": "text/plain"})
            response.body = b"not taking sessions\n"
            return WSUpgradeResponseWithListener(response, None)
        offered = headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
            return socket
        response = picows.WSUpgradeResponse.create_101_response(
            {"Sec-WebSocket-Protocol": SUBPROTOCOL}
        )
        return WSUpgradeResponseWithListener(response, socket)


class _Visitor(asyncio.Protocol):
    """A connection until its first line is there."""

    def __init__(
        self, visitors: "Crowd[_Visitor]", who: Peers, speaker: Callable[[bytes, Any], Speaker]
    ) -> None:
        self._visitors = visitors
        self._peers = who
        self._place: str | None = None
        self._speaker = speaker
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._text = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.leave)
        self._place = self._peers.limited_as(transport.get_extra_info("peername"))
        if self._place is not None:
            crowded = self._visitors.put(self._place, self)
            if crowded is not None:
                crowded.leave()

    def connection_lost(self, exception: Exception | None) -> None:
        self._forget()

    def data_received(self, data: bytes) -> None:
        self._text += data
        line, end, _ = self._text.lstrip(b"\r\n").partition(b"\r\n")
        if end:
            self._hand_on(line)
        elif len(self._text) > _FIRST_LINE:
            self.leave()

    def leave(self) -> None:
        """Ends the connection."""
        self._forget()
        self._transport.abort()

    def _hand_on(self, line: bytes) -> None:
        self._forget()
        transport, text = self._transport, self._text
        speaker = self._speaker(line, transport.get_extra_info("peername"))
        # How a transport reads depends on its protocol, and is chosen when it begins to read.
        transport.pause_reading()
        transport.set_protocol(speaker)
        speaker.connection_made(transport)
        transport.resume_reading()
        _feed(speaker, text)

    def _forget(self) -> None:
        self._timer.cancel()
        if self._place is not None:
            self._visitors.remove(self._place, self)


def _feed(speaker: Speaker, data: bytes) -> None:
    if isinstance(speaker, asyncio.Protocol):
        speaker.data_received(data)
        return
    while data:
        buffer = memoryview(speaker.get_buffer(len(data)))
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        speaker.buffer_updated(count)
        data = data[count:]
