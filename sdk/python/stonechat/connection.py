"""One WebSocket connection: text frames in and out, until it closes."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from stonechat import patience

SUBPROTOCOL = "stonechat.v1"
# What it says of every connection is of no use to an app that shows its log.
_quiet = logging.getLogger("stonechat.picows")
_quiet.setLevel(logging.WARNING)

_FRAME_LIMIT = 64 * 1024 * 1024  # far more than an answer of the server's own functions has


class Connection(WSListener):
    """`receive` gets each text message as it comes, and never raises. `closed` is set when the
    connection is gone, and `close_code` is then the server's reason, None where it gave none.
    `heard` is when something came last (monotonic seconds)."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self.closed = asyncio.Event()
        self.close_code: int | None = None
        self.heard = time.monotonic()
        self._receive = receive
        self._parts: list[bytes] = []  # of a message that comes in several frames
        self._transport: WSTransport

    def send(self, frame: bytes) -> None:
        """Sends a text frame; nothing where the connection is gone."""
        self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        self._transport.send_close(WSCloseCode.OK)
        self._transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard = time.monotonic()
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._part(frame.get_payload_as_bytes(), whole=frame.fin)
        elif frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int(cast(int, frame.get_close_code()))
            transport.send_close(frame.get_close_code() or WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()

    def _part(self, payload: bytes, *, whole: bool) -> None:
        self._parts.append(payload)
        if sum(map(len, self._parts)) > _FRAME_LIMIT:
            self._parts.clear()
        elif whole:
            message = b"".join(self._parts)
            self._parts.clear()
            self._receive(message)

    def pause_writing(self) -> None:
        """What is sent is bounded by the outbox."""

    def resume_writing(self) -> None:
        """As above."""


def checked(url: str) -> str:
    """The same. Raises `ValueError`, with what is wrong, where this cannot be a connector's."""
    example = "; a connector is given like ws://127.0.0.1:8001/v1"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no address ({error}){example}") from None
    if parts.scheme not in ("ws", "wss") or not host:
        hint = {"http": ": say ws:// for http://", "https": ": say wss:// for https://"}
        raise ValueError(f"{url!r} is no WebSocket's address{hint.get(parts.scheme, example)}")
    if parts.path in ("", "/"):
        raise ValueError(f"{url!r} has no path: connectors answer at /v1{example}")
    return url


async def connect(url: str, receive: Callable[[bytes], None]) -> Connection:
    """A connection to the server. Raises `OSError`, whose text names the address."""
    try:
        async with asyncio.timeout(patience.CONNECT):
            _, connection = await ws_connect(
                lambda: Connection(receive),
                url,
                enable_auto_ping=True,
                auto_ping_idle_timeout=patience.SILENCE,
                auto_ping_reply_timeout=patience.PONG,
                enable_auto_pong=True,
                max_frame_size=_FRAME_LIMIT,
                logger_name=_quiet,
                extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
            )
    except TimeoutError:
        raise OSError(f"{url} did not answer in {patience.CONNECT:.0f} s") from None
    except OSError as error:
        raise OSError(f"{url} cannot be reached: {error}") from error
    except Exception as error:  # picows' own, for an answer that is no WebSocket
        raise OSError(f"{url} is no connector: {error}") from None
    if not isinstance(connection, Connection):
        raise OSError(f"{url} closed at once")
    return connection
