"""One WebSocket connection: text frames in and out, until it closes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

SUBPROTOCOL = "stonechat.v1"
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 15  # then a ping, before the server's own after 20
_PONG_SECONDS = 10
_FRAME_LIMIT = 64 * 1024 * 1024  # far more than an answer of the server's own functions has


class Connection(WSListener):
    """`receive` gets each message as it comes. `closed` is set when the connection is gone, and
    `close_code` is then the server's reason, None where it gave none. `heard` is when something
    came last (monotonic seconds)."""

    def __init__(self, receive: Callable[[dict[str, Any]], None]) -> None:
        self.closed = asyncio.Event()
        self.close_code: int | None = None
        self.heard = time.monotonic()
        self._receive = receive
        self._transport: WSTransport

    def send(self, frame: bytes) -> None:
        """Sends a text frame; nothing where the connection is gone."""
        self._transport.send(WSMsgType.TEXT, frame)

    def close(self) -> None:
        self._transport.send_close()
        self._transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard = time.monotonic()
        if frame.msg_type == WSMsgType.TEXT:
            self._receive(orjson.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int(cast(int, frame.get_close_code()))
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()

    def pause_writing(self) -> None:
        """What is sent is bounded by the outbox."""

    def resume_writing(self) -> None:
        """As above."""


async def connect(url: str, receive: Callable[[dict[str, Any]], None]) -> Connection:
    """A connection to the server. Raises `OSError`."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, connection = await ws_connect(
                lambda: Connection(receive),
                url,
                enable_auto_ping=True,
                auto_ping_idle_timeout=_SILENCE_SECONDS,
                auto_ping_reply_timeout=_PONG_SECONDS,
                enable_auto_pong=True,
                max_frame_size=_FRAME_LIMIT,
                extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
            )
    except TimeoutError:
        raise OSError(f"{url} did not answer in {_CONNECT_SECONDS:.0f} s") from None
    except OSError:
        raise
    except Exception as error:  # picows' own, for an answer that is no WebSocket
        raise OSError(f"{url}: {error}") from None
    if not isinstance(connection, Connection):
        raise OSError(f"{url} closed at once")
    return connection
